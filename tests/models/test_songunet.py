"""EDM's DDPM++ against the figures of its paper, and its layers against diffusers' (the score-SDE ones)."""

import math

import pytest
import torch
from torch import nn

from models.diffusion.songunet import SongAttention, SongBlock, SongEmbedding, SongUNet
from models.diffusion.to_diffusers import copy_layer, copy_residual, copy_self_attention
from utils.batch import Condition
from utils.errors import ConfigError

TINY = {"base_channels": 8, "channel_mult": [1, 2], "blocks_per_level": 1, "attention_resolutions": [8]}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("size", "channel_mult", "millions"), [(64, [1, 2, 2, 2], 61.8), (32, [2, 2, 2], 55.7)], ids=["ffhq", "cifar10"]
)
def test_it_has_the_parameters_of_edm_s_models(size, channel_mult, millions):
    """Karras et al. 2022, table 7: 61.8 million for FFHQ and AFHQ at 64 by 64 (the defaults), 55.7 for CIFAR-10."""
    with torch.device("meta"):
        net = SongUNet(size, 3, num_classes=0, channel_mult=channel_mult)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def awake(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.mark.parametrize("resampling", [None, "up", "down"])
@pytest.mark.parametrize("channels", [128, 256])
def test_a_block_is_the_residual_block_of_score_sde(resampling, channels):
    """diffusers' ResnetBlock2D with the settings it has for those models: sums over sqrt(2), a skip convolution."""
    from diffusers.models.resnet import ResnetBlock2D

    ours = awake(SongBlock(128, channels, emb_dim=32, resampling=resampling))
    ours.block.norm1.eps = ours.block.norm2.eps = 1e-6
    theirs = ResnetBlock2D(
        in_channels=128,
        out_channels=channels,
        temb_channels=32,
        eps=1e-6,
        output_scale_factor=math.sqrt(2),
        use_in_shortcut=None if resampling is None else True,
        kernel="sde_vp",
        up=resampling == "up",
        down=resampling == "down",
    ).eval()
    copy_residual(theirs, ours.block)
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
    x, emb = torch.randn(2, 128, 4, 4), torch.randn(2, 32)
    torch.testing.assert_close(ours(x, emb), theirs(x, emb), rtol=1e-4, atol=1e-5)


def test_attention_is_that_of_score_sde():
    from diffusers.models.attention_processor import Attention

    ours = awake(SongAttention(128))
    settings = {"heads": 1, "dim_head": 128, "norm_num_groups": 32, "bias": True, "residual_connection": True}
    theirs = Attention(128, **settings, rescale_output_factor=math.sqrt(2), eps=1e-5)
    copy_self_attention(theirs, ours.attention)
    x = torch.randn(2, 128, 4, 4)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_the_noise_level_enters_as_it_is_through_ddpm_s_sinusoids():
    """Frequencies from 1 to exactly 1 / 10000 (diffusers: downscale_freq_shift 1), of ln(sigma) / 4 itself."""
    from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding

    ours, theirs = awake(SongEmbedding(16, 32, num_classes=2)), TimestepEmbedding(16, 32)
    copy_layer(theirs.linear_1, ours.linear1)
    copy_layer(theirs.linear_2, ours.linear2)
    c_noise = torch.tensor([0.002, 0.5, 80.0]).log() / 4
    waves = get_timestep_embedding(c_noise, 16, flip_sin_to_cos=True, downscale_freq_shift=1)
    labels = torch.tensor([0, 1, 2])
    expected = theirs(waves + ours.label.weight[labels])
    torch.testing.assert_close(ours(c_noise, Condition(labels=labels)), expected, rtol=1e-4, atol=1e-5)
    assert torch.pdist(expected).min() > 1e-2  # and the three levels are told apart


def test_attention_comes_after_every_block_going_down_and_the_last_coming_up():
    """FFHQ at 64: four blocks at 16 going down, one in the middle, one at 16 coming up."""
    with torch.device("meta"):
        net = SongUNet(64, 3, 0)
    down = [[stage.attention is not None for stage in level.stages] for level in net.encoder]
    up = [[stage.attention is not None for stage in level.stages] for level in net.decoder]
    assert down == [[False] * 4, [False] * 4, [True] * 4, [False] * 4]
    assert [stage.attention is not None for stage in net.middle] == [True, False]
    assert up == [[False] * 5, [False, False, False, False, True], [False] * 5, [False] * 5]


def test_features_keep_their_variance_through_the_network():
    """That is what sqrt(1/2) is for: noise of unit variance goes in, and 40 blocks later it is of that order still."""
    net = SongUNet(16, 3, 0, base_channels=32, attention_resolutions=[8])
    for module in net.modules():
        if isinstance(module, SongBlock):
            nn.init.xavier_uniform_(module.block.conv2.weight)
    seen = []
    net.norm_out.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].std().item()))
    net(torch.randn(8, 3, 16, 16), torch.zeros(8), Condition())
    assert 0.5 < seen[0] < 2


def test_every_group_norm_has_edm_s_epsilon():
    with torch.device("meta"):
        norms = [module for module in SongUNet(64, 3, 0).modules() if isinstance(module, nn.GroupNorm)]
    assert {norm.eps for norm in norms} == {1e-6}


def test_it_starts_by_answering_zero():
    assert not SongUNet(8, 3, 0, **TINY)(torch.randn(2, 3, 8, 8), torch.ones(2), Condition()).any()


@pytest.mark.parametrize(
    ("size", "settings", "message"),
    [
        (36, {}, "data.image_size 36 is not a multiple of 8, which patch 1 with the 4 levels of channel_mult needs"),
        (64, {"attention_resolutions": [12]}, r"attention_resolutions: 12 is not a size .* \(\[64, 32, 16, 8\]\)"),
        (64, {"base_channels": 2}, "base_channels must be even and at least 4, not 2"),
    ],
)
def test_settings_that_do_not_fit_together_are_one_line_that_names_them(size, settings, message):
    with pytest.raises(ConfigError, match=message), torch.device("meta"):
        SongUNet(size, 3, 0, **settings)
