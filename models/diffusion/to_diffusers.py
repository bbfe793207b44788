"""Our U-Net as diffusers' ``UNet2DModel``: the same layers under their names, with the weights copied.

diffusers is imported where it is needed: it is optional, slow to load, and looks for Hugging Face's ``datasets``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models.diffusion.unet import UNet
from models.layers.blocks import ResidualBlock, SelfAttention
from models.layers.transformer import SpatialTransformer
from utils.errors import ConfigError

if TYPE_CHECKING:
    from diffusers import UNet2DModel

Copy = Callable[[nn.Module, nn.Module], None]  # from ours, the second, to theirs
RESIDUAL = {"norm1": "norm1", "conv1": "conv1", "time_emb_proj": "emb", "norm2": "norm2", "conv2": "conv2"}


def to_diffusers(network: UNet, image_size: int) -> "UNet2DModel":
    """Return a ``UNet2DModel`` that answers as ``network`` does; a label table goes with it.

    Raises :class:`ConfigError` where diffusers has no such network, or is not installed.
    """
    try:
        from diffusers import UNet2DModel
    except ImportError as error:
        raise ConfigError("diffusers is not installed: pip install diffusers") from error
    theirs = UNet2DModel(sample_size=image_size, **describe(network)).eval()
    copy_unet(theirs, network, copy_self_attention)
    return theirs


def describe(network: UNet) -> dict[str, Any]:
    """Return the arguments of ``UNet2DModel``. Raises :class:`ConfigError` for what they cannot say."""
    if network.bypass is not None:
        raise ConfigError("diffusers' UNet2DModel has no patches: train with model_args.patch=1")
    if any(isinstance(module, SpatialTransformer) for module in network.modules()):
        raise ConfigError("diffusers' UNet2DModel looks at no tokens: train with model_args.class_tokens=0")
    groups = {module.num_groups for module in network.modules() if isinstance(module, nn.GroupNorm)}
    if len(groups) > 1:
        raise ConfigError(
            "diffusers' UNet2DModel has as many groups in every norm: train with model_args.base_channels=128"
        )
    stages = [level.stages for level in network.encoder]
    attends = [level[0].attention is not None for level in stages]
    return {
        "in_channels": network.conv_in.in_channels,
        "out_channels": network.conv_out.out_channels,
        "block_out_channels": tuple(level[0].block.conv1.out_channels for level in stages),
        "layers_per_block": len(stages[0]),
        "down_block_types": block_types(attends, network.resblock_updown, "Down"),
        "up_block_types": block_types(attends, network.resblock_updown, "Up")[::-1],
        "downsample_type": "resnet" if network.resblock_updown else "conv",
        "upsample_type": "resnet" if network.resblock_updown else "conv",
        "attention_head_dim": head_channels(network),
        "resnet_time_scale_shift": "scale_shift" if stages[0][0].block.scale_shift else "default",
        "norm_num_groups": min(groups),
        "attn_norm_num_groups": min(groups),
        "norm_eps": network.norm_out.eps,
        "dropout": stages[0][0].block.dropout.p,
        "num_class_embeds": None if network.embedding.label is None else network.embedding.label.num_embeddings,
    }


def block_types(attends: list[bool], resblock_updown: bool, way: str) -> tuple[str, ...]:
    """Name their class for each resolution; those that attend resample as ``downsample_type`` says."""
    plain = f"Resnet{way}sampleBlock2D" if resblock_updown else f"{way}Block2D"
    return tuple(f"Attn{way}Block2D" if attention else plain for attention in attends)


def head_channels(network: UNet) -> int | None:
    """Return the channels of an attention head. Without ``head_channels`` a layer has one head, of its own width."""
    layers = [module for module in network.modules() if isinstance(module, SelfAttention)]
    one_head = all(layer.heads == 1 for layer in layers)
    return None if one_head else layers[0].norm.num_channels // layers[0].heads


def copy_unet(theirs: nn.Module, ours: UNet, copy_attention: Copy) -> None:
    """Copy layer by layer; ``copy_attention`` is for the layers of attention that this U-Net of diffusers has."""
    copy_layer(theirs.time_embedding.linear_1, ours.embedding.linear1)
    copy_layer(theirs.time_embedding.linear_2, ours.embedding.linear2)
    if ours.embedding.label is not None:
        theirs.class_embedding.weight.data.copy_(ours.embedding.label.weight)
    copy_layer(theirs.conv_in, ours.conv_in)
    for block, level in zip(theirs.down_blocks, ours.encoder, strict=True):
        copy_stages(block, level.stages, copy_attention)
        copy_resampling(block.downsamplers, level.down)
    copy_stages(theirs.mid_block, ours.middle, copy_attention)
    for block, level in zip(theirs.up_blocks, ours.decoder, strict=True):
        copy_stages(block, level.stages, copy_attention)
        copy_resampling(block.upsamplers, level.up)
    copy_layer(theirs.conv_norm_out, ours.norm_out)
    copy_layer(theirs.conv_out, ours.conv_out)


def copy_stages(theirs: nn.Module, stages: nn.ModuleList, copy_attention: Copy) -> None:
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


def copy_residual(theirs: nn.Module, ours: ResidualBlock) -> None:
    for their_name, our_name in RESIDUAL.items():
        copy_layer(getattr(theirs, their_name), getattr(ours, our_name))
    if theirs.conv_shortcut is not None:
        copy_layer(theirs.conv_shortcut, ours.skip)


def copy_self_attention(theirs: nn.Module, ours: SelfAttention) -> None:
    copy_layer(theirs.group_norm, ours.norm)
    copy_layer(theirs.to_out[0], ours.out)
    parts = zip(ours.qkv.weight.chunk(3), ours.qkv.bias.chunk(3), strict=True)
    for layer, (weight, bias) in zip((theirs.to_q, theirs.to_k, theirs.to_v), parts, strict=True):
        copy_tensor(layer.weight, weight)
        copy_tensor(layer.bias, bias)


def copy_layer(theirs: nn.Module, ours: nn.Module) -> None:
    """Copy weight and bias of one layer; a linear layer and a 1 by 1 convolution hold the same numbers."""
    copy_tensor(theirs.weight, ours.weight)
    copy_tensor(theirs.bias, ours.bias)


@torch.no_grad()
def copy_tensor(theirs: Tensor, ours: Tensor) -> None:
    theirs.copy_(ours.reshape(theirs.shape))


@torch.no_grad()
def fix_label(theirs: nn.Module, label: int) -> None:
    """Make a conditional ``UNet2DModel`` one that needs no labels and always draws ``label``.

    The label's row is added to the output of the noise level's last linear layer: its bias can hold it as well.
    """
    theirs.time_embedding.linear_2.bias += theirs.class_embedding.weight[label]
    theirs.class_embedding = None
    theirs.register_to_config(num_class_embeds=None)
