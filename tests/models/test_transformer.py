"""Attention to tokens against PyTorch's own and diffusers', with the weights carried over.

diffusers is imported inside the tests: it is a development dependency, and slow to load.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.diffusion.to_diffusers import copy_unet
from models.diffusion.unet import UNet
from models.layers.embedding import LabelTokens
from models.layers.transformer import Attention, SpatialTransformer, TransformerBlock
from utils.batch import Condition
from utils.errors import ConfigError


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def copy_weights(theirs: nn.Module, ours: nn.Module) -> None:
    """Copy a layer that may have no bias."""
    assert (theirs.bias is None) == (ours.bias is None)
    theirs.weight.data.copy_(ours.weight.reshape(theirs.weight.shape))
    if ours.bias is not None:
        theirs.bias.data.copy_(ours.bias)


def copy_tokens_attention(theirs: nn.Module, ours: Attention) -> None:
    layers = zip(
        (theirs.to_q, theirs.to_k, theirs.to_v, theirs.to_out[0]), (ours.query, ours.key, ours.value, ours.out)
    )
    for other, layer in layers:
        copy_weights(other, layer)


def copy_block(theirs: nn.Module, ours: TransformerBlock) -> None:
    for other, layer in zip((theirs.norm1, theirs.norm2, theirs.norm3), (ours.norm1, ours.norm2, ours.norm3)):
        copy_weights(other, layer)
    copy_tokens_attention(theirs.attn1, ours.self_attention)
    copy_tokens_attention(theirs.attn2, ours.cross_attention)
    copy_weights(theirs.ff.net[0].proj, ours.feed_forward.linear1)
    copy_weights(theirs.ff.net[2], ours.feed_forward.linear2)


def copy_spatial(theirs: nn.Module, ours: SpatialTransformer) -> None:
    for other, layer in ((theirs.norm, ours.norm), (theirs.proj_in, ours.enter), (theirs.proj_out, ours.leave)):
        copy_weights(other, layer)
    copy_block(theirs.transformer_blocks[0], ours.block)


@pytest.mark.parametrize("heads", [1, 4])
def test_cross_attention_is_pytorch_s_multi_head_attention(heads):
    layer, x, context = Attention(16, 10, heads), torch.randn(2, 7, 16), torch.randn(2, 3, 10)
    weights = {
        "q_proj_weight": layer.query.weight,
        "k_proj_weight": layer.key.weight,
        "v_proj_weight": layer.value.weight,
    }
    expected, _ = F.multi_head_attention_forward(
        *(t.transpose(0, 1) for t in (x, context, context)),  # PyTorch has the batch second
        embed_dim_to_check=16,
        num_heads=heads,
        in_proj_weight=None,
        in_proj_bias=None,
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=layer.out.weight,
        out_proj_bias=layer.out.bias,
        use_separate_proj_weight=True,
        **weights,
    )
    torch.testing.assert_close(layer(x, context), expected.transpose(0, 1), rtol=1e-5, atol=1e-6)


def test_a_transformer_block_is_that_of_diffusers():
    from diffusers.models.attention import BasicTransformerBlock

    ours = TransformerBlock(32, 10, heads=4)
    theirs = BasicTransformerBlock(32, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=10).eval()
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
    copy_block(theirs, ours)
    x, context = torch.randn(2, 9, 32), torch.randn(2, 3, 10)
    torch.testing.assert_close(ours(x, context), theirs(x, encoder_hidden_states=context), rtol=1e-5, atol=1e-5)


SIZES = {"base_channels": 128, "channel_mult": [1, 2], "blocks_per_level": 1, "attention_resolutions": [4]}


@torch.no_grad()
def test_a_unet_with_class_tokens_is_stable_diffusion_s_of_diffusers():
    """128 channels and more: below that our group norms have fewer groups."""
    from diffusers import UNet2DConditionModel

    ours = UNet(8, 4, num_classes=4, **SIZES, head_channels=64, class_tokens=3, token_dim=24).eval()
    for parameter in ours.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    theirs = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(128, 256),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=24,
        attention_head_dim=(2, 4),  # of this class it is the number of heads
    ).eval()
    table = ours.label_tokens.weight.numel()
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters()) - table
    copy_unet(theirs, ours, copy_spatial)
    x, c_noise, cond = torch.randn(2, 4, 8, 8), torch.tensor([3.0, 700.0]), Condition(labels=torch.tensor([1, 4]))
    tokens = ours.label_tokens(cond, 2)
    assert tokens.shape == (2, 3, 24)
    answer, expected = ours(x, c_noise, cond), theirs(x, c_noise, encoder_hidden_states=tokens).sample
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-4)
    assert answer.std() > 0.1
    given = ours(x, c_noise, Condition(tokens=tokens))  # whoever brings tokens needs no labels
    assert torch.equal(given, answer)


def test_a_label_is_as_many_tokens_as_asked_for_and_none_is_the_null_class():
    layer = LabelTokens(3, tokens=2, dim=5)
    tokens = layer(Condition(labels=torch.tensor([0, 2, 3])), 3)
    assert tokens.shape == (3, 2, 5)
    assert torch.equal(tokens.flatten(1), layer.weight[[0, 2, 3]])
    assert torch.equal(layer(Condition(), 2), tokens[2:].expand(2, -1, -1))


def test_without_classes_the_transformer_looks_at_the_image_alone():
    net = UNet(8, 3, 0, 8, [1, 2], 1, [4], class_tokens=2, token_dim=6)
    assert net.label_tokens is None
    transformers = [module for module in net.modules() if isinstance(module, TransformerBlock)]
    assert transformers
    assert all(module.cross_attention is None for module in transformers)


def test_heads_that_do_not_come_out_are_refused():
    with pytest.raises(ConfigError, match="head_channels 5 does not divide 16"):
        SpatialTransformer(16, 8, head_channels=5)


def test_at_its_size_it_has_the_parameters_of_stable_diffusion():
    """859.52 million, which the authors' code prints when it loads version 1; our label table stands for its text."""
    widths = {"base_channels": 320, "channel_mult": [1, 2, 4, 4], "attention_resolutions": [64, 32, 16]}
    with torch.device("meta"):
        net = UNet(64, 4, num_classes=1, **widths, class_tokens=1, token_dim=768)
    count = sum(p.numel() for name, p in net.named_parameters() if "label_tokens" not in name)
    assert count / 1e6 == pytest.approx(859.52, abs=0.005)
