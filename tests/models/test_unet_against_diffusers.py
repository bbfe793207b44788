"""Our U-Net against diffusers' UNet2DModel with the weights carried over: the same answer to 1e-4.

diffusers is imported inside the function that carries them: it is a development dependency, and slow to load.
"""

import pytest
import torch
from torch import nn

from models.diffusion.to_diffusers import fix_label, to_diffusers
from models.diffusion.unet import UNet
from utils.batch import Condition
from utils.errors import ConfigError

OURS = {"base_channels": 128, "channel_mult": [1, 2], "blocks_per_level": 1, "attention_resolutions": [4]}
ADM = {"head_channels": 64, "scale_shift_norm": True, "resblock_updown": True}


def awake(**settings) -> UNet:
    """128 channels and more: below that our group norms have fewer groups."""
    torch.manual_seed(0)
    network = UNet(8, 3, **{"num_classes": 4, **OURS, **settings}).eval()
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return network


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="ddpm"),
        pytest.param(ADM, id="adm"),
        pytest.param({"attention_resolutions": [8, 4], "blocks_per_level": 2, **ADM}, id="adm everywhere"),
        pytest.param({"channel_mult": [1, 1, 2], "out_channels": 6}, id="three levels"),
    ],
)
@torch.no_grad()
def test_it_is_the_unet_of_diffusers(settings):
    ours = awake(**settings)
    theirs = to_diffusers(ours, 8)
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
    x, c_noise, labels = torch.randn(2, 3, 8, 8), torch.tensor([3.0, 700.0]), torch.tensor([1, 4])
    answer = ours(x, c_noise, Condition(labels=labels))
    torch.testing.assert_close(answer, theirs(x, c_noise, class_labels=labels).sample, rtol=1e-4, atol=1e-4)
    assert answer.std() > 0.1


@torch.no_grad()
def test_a_label_can_be_made_part_of_the_network():
    """So that a pipeline that knows no labels draws one class."""
    ours, x, c_noise = awake(), torch.randn(2, 3, 8, 8), torch.tensor([3.0, 700.0])
    theirs = to_diffusers(ours, 8)
    fix_label(theirs, 2)
    expected = ours(x, c_noise, Condition(labels=torch.tensor([2, 2])))
    torch.testing.assert_close(theirs(x, c_noise).sample, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": 2, "attention_resolutions": []}, "no patches: train with model_args.patch=1"),
        ({"class_tokens": 2}, "looks at no tokens: train with model_args.class_tokens=0"),
        ({"base_channels": 64}, "as many groups in every norm: train with model_args.base_channels=128"),
    ],
)
def test_what_diffusers_cannot_express_is_one_line(settings, message):
    with pytest.raises(ConfigError, match=message):
        to_diffusers(awake(**settings), 8)
