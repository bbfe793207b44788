"""The U-Net against the figures of its papers, and what it refuses."""

import pytest
import torch
from torch import nn

from models.diffusion.unet import UNet
from models.layers.blocks import SelfAttention
from utils.batch import Condition
from utils.errors import ConfigError

TINY = {"base_channels": 8, "channel_mult": [1, 2], "blocks_per_level": 1, "attention_resolutions": [8]}


def millions_of_parameters(*args, **kwargs) -> float:
    with torch.device("meta"):
        return sum(p.numel() for p in UNet(*args, **kwargs).parameters()) / 1e6


def test_the_defaults_have_the_parameters_of_ddpm_on_cifar10():
    """35.7 million: Ho et al. 2020, appendix B."""
    assert millions_of_parameters(32, 3, num_classes=0) == pytest.approx(35.7, abs=0.05)


def test_adm_has_the_parameters_of_its_imagenet_64_model():
    """296 million: Dhariwal & Nichol 2021, table 4 (settings: table 11). The null class adds 768 numbers to theirs."""
    adm = {
        "base_channels": 192,
        "channel_mult": [1, 2, 3, 4],
        "blocks_per_level": 3,
        "attention_resolutions": [32, 16, 8],
        "head_channels": 64,
        "scale_shift_norm": True,
        "resblock_updown": True,
        "out_channels": 6,
    }
    assert millions_of_parameters(64, 3, num_classes=1000, **adm) == pytest.approx(296, abs=0.5)


@pytest.mark.parametrize("updown", [False, True])
@pytest.mark.parametrize("scale_shift", [False, True])
@pytest.mark.parametrize("patch", [1, 2, 4])
def test_every_combination_of_settings_gives_an_image(patch, scale_shift, updown):
    size = 8 * patch
    net = UNet(size, 3, 2, **TINY, patch=patch, scale_shift_norm=scale_shift, resblock_updown=updown, out_channels=6)
    nn.init.normal_(net.conv_out.weight)
    out = net(torch.randn(2, 3, size, size), torch.zeros(2), Condition())
    assert out.shape == (2, 6, size, size)
    assert out.std() > 0


def test_it_starts_by_answering_zero():
    """The last convolution is zero: noise predicted as zero is where DDPM and ADM start."""
    net = UNet(8, 3, 0, **TINY)
    assert not net(torch.randn(2, 3, 8, 8), torch.ones(2), Condition()).any()


def test_every_skip_connection_reaches_the_answer():
    """Zeroing the part of a decoder convolution that reads a skip changes the answer, for each of them."""
    torch.manual_seed(0)
    net = UNet(8, 3, 0, **TINY, dropout=0.0)
    nn.init.normal_(net.conv_out.weight)
    x = torch.randn(1, 3, 8, 8)
    before = net(x, torch.ones(1), Condition())
    stages = [stage for level in net.decoder for stage in level.stages]
    assert len(stages) == 2 * (1 + 1)  # one more than blocks_per_level, at each of two levels
    for stage in stages:
        weight = stage.block.skip.weight
        kept = weight.detach().clone()
        weight.data[:, -8:] = 0  # of x and the skip side by side: the narrowest skip has base_channels, 8
        assert not torch.allclose(net(x, torch.ones(1), Condition()), before, atol=1e-6)
        weight.data = kept


def test_attention_is_where_it_was_asked_for_and_in_the_middle():
    """DDPM on 32 by 32: two blocks at 16 going down, three coming up, and one in the middle."""
    with torch.device("meta"):
        net = UNet(32, 3, 0)
    layers = [module for module in net.modules() if isinstance(module, SelfAttention)]
    assert len(layers) == 2 + 3 + 1
    assert all(layer.heads == 1 for layer in layers)


def test_the_patch_is_folded_into_channels_and_back():
    """With convolutions that pass the first channels on, what comes out is what went in."""
    net = UNet(16, 3, 0, base_channels=12, channel_mult=[1], blocks_per_level=1, attention_resolutions=[], patch=2)
    x = torch.randn(2, 3, 16, 16)
    assert net.fold(x).shape == (2, 12, 8, 8)
    assert torch.equal(net.fold(x)[:, :4, 0, 0], x[:, 0, :2, :2].flatten(1))  # a patch lies in the channels
    assert torch.equal(net.unfold(net.fold(x)), x)


@pytest.mark.parametrize("settings", [{}, {"patch": 2, "channel_mult": [1, 2], "attention_resolutions": [16]}])
def test_other_sizes_than_it_was_built_for_go_through(settings):
    """It is convolutional: height and width are free as long as they divide."""
    net = UNet(64, 1, 0, **{**TINY, "attention_resolutions": [32], **settings})
    assert net(torch.randn(1, 1, 32, 48), torch.ones(1), Condition()).shape == (1, 1, 32, 48)


@pytest.mark.parametrize(
    ("size", "settings", "message"),
    [
        (36, {}, "data.image_size 36 is not a multiple of 8, which patch 1 with the 4 levels of channel_mult needs"),
        (40, {"patch": 2}, "data.image_size 40 is not a multiple of 16, which patch 2 with the 4 levels"),
        (64, {"attention_resolutions": [16, 12]}, r"attention_resolutions: 12 is not a size .* \(\[64, 32, 16, 8\]\)"),
        (
            64,
            {"patch": 4, "attention_resolutions": [64]},
            r"attention_resolutions: 64 is not a size .* \(\[16, 8, 4, 2\]\)",
        ),
        (64, {"head_channels": 48}, "head_channels 48 does not divide 256, the channels at"),
        (64, {"base_channels": 33}, "base_channels must be even, not 33"),
        (64, {"channel_mult": [], "attention_resolutions": []}, "channel_mult is empty"),
        (64, {"patch": 3}, "patch must be 1, 2 or 4, not 3"),
    ],
)
def test_settings_that_do_not_fit_together_are_one_line_that_names_them(size, settings, message):
    with pytest.raises(ConfigError, match=message), torch.device("meta"):
        UNet(size, 3, 0, **settings)
