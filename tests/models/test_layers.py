"""The shared building blocks against formulas written out."""

import math

import pytest
import torch
from torch import nn

from models.layers.blocks import (
    Downsample,
    GroupNorm,
    ResidualBlock,
    SelfAttention,
    Upsample,
    resample,
)
from models.layers.bypass import PatchBypass, cosine_basis
from models.layers.checks import check_image_size
from models.layers.embedding import LabelEmbedding, LabelProjection, LatentAndLabel, sinusoidal_embedding
from utils.batch import Condition
from utils.errors import ConfigError


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_sinusoids_are_cosines_then_sines_from_frequency_one_downwards():
    """Of 4 numbers two are cosines and two sines, at frequencies 1 and 10000^(-1/2) = 0.01."""
    embedding = sinusoidal_embedding(torch.tensor([0.0, 2.5]), 4)
    expected = [[1, 1, 0, 0], [math.cos(2.5), math.cos(0.025), math.sin(2.5), math.sin(0.025)]]
    torch.testing.assert_close(embedding, torch.tensor(expected))


def test_sinusoids_stay_float32_for_half_precision_levels():
    """999 and 1000 are the same number in bfloat16; the angle must not be rounded once more."""
    levels = torch.tensor([999.0], dtype=torch.float16)
    torch.testing.assert_close(sinusoidal_embedding(levels, 8), sinusoidal_embedding(levels.float(), 8))


@pytest.mark.parametrize(
    ("channels", "groups"), [(512, 32), (192, 32), (128, 32), (96, 24), (32, 8), (24, 6), (20, 5), (7, 1), (3, 1)]
)
def test_groups_are_32_or_as_many_as_leave_four_channels_each(channels, groups):
    assert GroupNorm(channels).num_groups == groups


def test_group_norm_returns_the_dtype_it_was_given_under_autocast():
    x = torch.randn(2, 16, 4, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert GroupNorm(16)(x).dtype == torch.bfloat16


def test_resampling_repeats_and_averages():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    up = torch.tensor([[1.0, 1, 2, 2], [1, 1, 2, 2], [3, 3, 6, 6], [3, 3, 6, 6]])
    assert torch.equal(resample(x, "up")[0, 0], up)
    assert resample(x, "down").item() == 3.0
    assert resample(x, None) is x


@pytest.mark.parametrize(("layer", "size"), [(Downsample(4), 4), (Upsample(4), 16)])
def test_convolutional_resampling_halves_and_doubles(layer, size):
    assert layer(torch.randn(2, 4, 8, 8), torch.zeros(2, 1)).shape == (2, 4, size, size)


@pytest.mark.parametrize("how", [None, "up", "down"])
def test_a_residual_block_starts_as_its_skip_connection(how):
    """Its last convolution is zero; with as many channels out as in, the skip is the (resampled) input itself."""
    block, x = ResidualBlock(8, 8, emb_dim=6, resampling=how), torch.randn(2, 8, 4, 4)
    assert torch.equal(block(x, torch.randn(2, 6)), resample(x, how))


def test_scale_and_shift_act_on_the_normalised_features():
    """With the embedding's layer set to scale 2, shift 1 the last convolution sees silu(3 norm + 1)."""
    block, x = ResidualBlock(8, 8, emb_dim=6, scale_shift=True), torch.randn(2, 8, 4, 4)
    nn.init.zeros_(block.emb.weight)
    block.emb.bias.data = torch.cat([torch.full((8,), 2.0), torch.full((8,), 1.0)])
    nn.init.dirac_(block.conv2.weight)
    normed = block.norm2(block.conv1(nn.functional.silu(block.norm1(x))))
    expected = x + nn.functional.silu(3 * normed + 1)
    torch.testing.assert_close(block(x, torch.randn(2, 6)), expected)


def test_dropout_acts_in_training_alone():
    block, x, emb = ResidualBlock(8, 8, emb_dim=6, dropout=0.5), torch.randn(2, 8, 4, 4), torch.randn(2, 6)
    nn.init.dirac_(block.conv2.weight)
    assert not torch.equal(block(x, emb), block(x, emb))
    block.eval()
    assert torch.equal(block(x, emb), block(x, emb))


@pytest.mark.parametrize(("head_channels", "heads"), [(None, 1), (4, 3)])
def test_attention_is_the_softmax_of_scaled_products_in_each_head(head_channels, heads):
    """Written out position by position: a = softmax(q k / sqrt(d)), the output projection set to the identity."""
    layer, x = SelfAttention(12, head_channels), torch.randn(2, 12, 3, 5)
    layer.out.weight.data = torch.eye(12)
    d = 12 // heads
    tokens = layer.norm(x).reshape(2, 12, 15).permute(0, 2, 1)
    q, k, v = layer.qkv(tokens).split(12, dim=2)
    expected = x.clone()
    for head in range(heads):
        part = slice(head * d, (head + 1) * d)
        a = torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(d), dim=-1)  # [2, 15, 15]
        expected[:, part] += (a @ v[..., part]).transpose(1, 2).reshape(2, d, 3, 5)
    torch.testing.assert_close(layer(x), expected)


def test_attention_names_the_setting_when_heads_do_not_fit():
    with pytest.raises(ConfigError, match="head_channels 5 does not divide 12, the channels"):
        SelfAttention(12, head_channels=5)


def test_the_last_row_of_a_label_table_is_the_null_class():
    table = LabelEmbedding(3, 2)
    table.weight.data = torch.arange(8.0).view(4, 2)
    assert table(Condition(labels=torch.tensor([2, 3])), 2).tolist() == [[4, 5], [6, 7]]
    assert table(Condition(), 2).tolist() == [[6, 7], [6, 7]]


def test_the_label_stands_beside_the_latent():
    layer, z = LatentAndLabel(z_dim=5, num_classes=3), torch.randn(2, 5)
    joined = layer(z, Condition(labels=torch.tensor([1, 0])))
    assert joined.shape == (2, layer.out_features)
    assert torch.equal(joined[:, :5], z)
    assert torch.equal(joined[:, 5:], layer.label.weight[[1, 0]])


def test_projection_is_the_inner_product_with_the_averaged_features():
    layer, features = LabelProjection(num_classes=3, channels=4), torch.randn(2, 4, 3, 3)
    logits = layer(features, Condition(labels=torch.tensor([2, 0])))
    expected = [sum(features[i, c].mean() * layer.label.weight[y, c] for c in range(4)) for i, y in ((0, 2), (1, 0))]
    torch.testing.assert_close(logits, torch.stack(expected))


@pytest.mark.parametrize("size", [0, 4, 12, 63])
def test_an_image_size_that_does_not_divide_is_an_error_that_names_it(size):
    with pytest.raises(ConfigError, match=f"data.image_size {size} is not a multiple of 8, which blocks_num 3 needs"):
        check_image_size(size, 8, "blocks_num 3")


@pytest.mark.parametrize("size", [8, 24, 64])
def test_an_image_size_that_divides_is_accepted(size):
    check_image_size(size, 8, "blocks_num 3")


def test_the_bypass_with_unit_gains_hands_the_image_through():
    """Cosine transform and inverse cancel: filters start as an orthonormal basis, the mix as its transpose."""
    bypass = PatchBypass(channels=3, patch=4, out_channels=3, width=6, emb_dim=8)
    nn.init.ones_(bypass.gain.bias)
    nn.init.zeros_(bypass.mix.bias)
    folded = torch.randn(2, 48, 5, 5)
    torch.testing.assert_close(bypass(folded, torch.randn(2, 6, 5, 5), torch.randn(2, 8)), folded, atol=1e-5, rtol=1e-5)


def test_the_first_component_of_the_bypass_is_the_mean_of_the_patch():
    """Over n = 3 * 4 * 4 = 48 numbers the orthonormal constant is 1 / sqrt(48): a grey patch is one number."""
    components = cosine_basis(3, 4) @ torch.full((48,), 0.5)
    torch.testing.assert_close(components, torch.tensor([0.5 * math.sqrt(48)] + [0.0] * 47), atol=1e-6, rtol=0)


@pytest.mark.parametrize("out_channels", [1, 3, 6])
def test_the_bypass_starts_at_zero_whatever_comes_out(out_channels):
    bypass = PatchBypass(channels=3, patch=2, out_channels=out_channels, width=6, emb_dim=8)
    made = bypass(torch.randn(2, 12, 4, 4), torch.randn(2, 6, 4, 4), torch.randn(2, 8))
    assert torch.equal(made, bypass.mix.bias.view(1, -1, 1, 1).expand(2, -1, 4, 4))
