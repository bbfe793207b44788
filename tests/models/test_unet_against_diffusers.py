"""Our U-Net against diffusers' UNet2DModel with the weights carried over: the same answer to 1e-4.

diffusers is imported inside the test: it is a development dependency, and slow to load.
"""

import pytest
import torch
from torch import nn

from models.diffusion.unet import UNet
from models.layers.blocks import ResidualBlock, SelfAttention
from utils.batch import Condition

RESIDUAL = {"norm1": "norm1", "conv1": "conv1", "time_emb_proj": "emb", "norm2": "norm2", "conv2": "conv2"}


def copy_layer(theirs: nn.Module, ours: nn.Module) -> None:
    """Copy weight and bias of one layer; a linear layer and a 1 by 1 convolution hold the same numbers."""
    theirs.weight.data.copy_(ours.weight.reshape(theirs.weight.shape))
    theirs.bias.data.copy_(ours.bias)


def copy_residual(theirs: nn.Module, ours: ResidualBlock) -> None:
    for their_name, our_name in RESIDUAL.items():
        copy_layer(getattr(theirs, their_name), getattr(ours, our_name))
    if theirs.conv_shortcut is not None:
        copy_layer(theirs.conv_shortcut, ours.skip)


def copy_attention(theirs: nn.Module, ours: SelfAttention) -> None:
    copy_layer(theirs.group_norm, ours.norm)
    copy_layer(theirs.to_out[0], ours.out)
    parts = zip(ours.qkv.weight.chunk(3), ours.qkv.bias.chunk(3), strict=True)
    for layer, (weight, bias) in zip((theirs.to_q, theirs.to_k, theirs.to_v), parts, strict=True):
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)


def copy_stages(theirs: nn.Module, stages: nn.ModuleList) -> None:
    """Copy residual blocks in order, and the attention layers of those that have one."""
    for resnet, stage in zip(theirs.resnets, stages, strict=True):
        copy_residual(resnet, stage.block)
    attentions = [stage.attention for stage in stages if stage.attention is not None]
    for attention, ours in zip(getattr(theirs, "attentions", []), attentions, strict=True):
        copy_attention(attention, ours)


def copy_resampling(theirs: nn.ModuleList | None, ours: nn.Module | None) -> None:
    assert (theirs is None) == (ours is None)
    if isinstance(ours, ResidualBlock):
        copy_residual(theirs[0], ours)
    elif ours is not None:
        copy_layer(theirs[0].conv, ours.conv)


def copy_unet(theirs: nn.Module, ours: UNet) -> None:
    copy_layer(theirs.time_embedding.linear_1, ours.embedding.linear1)
    copy_layer(theirs.time_embedding.linear_2, ours.embedding.linear2)
    theirs.class_embedding.weight.data.copy_(ours.embedding.label.weight)
    copy_layer(theirs.conv_in, ours.conv_in)
    for block, level in zip(theirs.down_blocks, ours.encoder, strict=True):
        copy_stages(block, level.stages)
        copy_resampling(block.downsamplers, level.down)
    copy_stages(theirs.mid_block, ours.middle)
    for block, level in zip(theirs.up_blocks, ours.decoder, strict=True):
        copy_stages(block, level.stages)
        copy_resampling(block.upsamplers, level.up)
    copy_layer(theirs.conv_norm_out, ours.norm_out)
    copy_layer(theirs.conv_out, ours.conv_out)


DDPM = {
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 256,
}
ADM = {
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "attention_head_dim": 64,
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
    "attn_norm_num_groups": 32,
}
OURS = {"base_channels": 128, "channel_mult": [1, 2], "blocks_per_level": 1, "attention_resolutions": [4]}


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        pytest.param({}, DDPM, id="ddpm"),
        pytest.param({"head_channels": 64, "scale_shift_norm": True, "resblock_updown": True}, ADM, id="adm"),
    ],
)
def test_it_is_the_unet_of_diffusers(settings, theirs):
    """128 channels and more: below that our group norms have fewer groups."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    ours = UNet(8, 3, num_classes=4, **OURS, **settings).eval()
    for parameter in ours.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    sizes = {"sample_size": 8, "block_out_channels": (128, 256), "layers_per_block": 1, "num_class_embeds": 5}
    other = UNet2DModel(**sizes, **theirs, downsample_padding=1, norm_eps=1e-5).eval()
    assert sum(p.numel() for p in other.parameters()) == sum(p.numel() for p in ours.parameters())
    copy_unet(other, ours)
    x, c_noise, labels = torch.randn(2, 3, 8, 8), torch.tensor([3.0, 700.0]), torch.tensor([1, 4])
    with torch.no_grad():
        answer = ours(x, c_noise, Condition(labels=labels))
        expected = other(x, c_noise, class_labels=labels).sample
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-4)
    assert answer.std() > 0.1
