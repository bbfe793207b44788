"""The U-Net of diffusion models, with settings for the three papers that made it.

Jonathan Ho, Ajay Jain, Pieter Abbeel 2020, "Denoising Diffusion Probabilistic Models", appendix B: the defaults.
Prafulla Dhariwal, Alex Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", sections 3 and 3.1 (ADM):
attention at several resolutions with heads of 64 channels, ``scale_shift_norm``, ``resblock_updown``.
Robin Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", section 3.3: the class is
told as tokens to look at instead of by the noise embedding, ``class_tokens``.

What differs here: a row for the null class in the label table; group norms of fewer than 32 groups below 128 channels;
symmetric padding before a convolution of stride 2 (as ADM; DDPM's TensorFlow code pads one side); and ``patch``: the
image is folded into patch^2 times as many channels first (pixel unshuffle) and unfolded last, which a CPU affords.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from models.diffusion.pyramid import Parts, down_and_up, level_resolutions
from models.layers.blocks import (
    Downsample,
    GroupNorm,
    ResidualBlock,
    SelfAttention,
    Upsample,
    conv3x3,
    zero_init,
)
from models.layers.bypass import PatchBypass
from models.layers.embedding import LabelTokens, NoiseAndLabelEmbedding
from models.layers.transformer import SpatialTransformer
from models.registry import diffusion_models_registry
from utils.batch import Condition
from utils.checks import check_images, check_rows
from utils.errors import ConfigError
from utils.schema import Fraction, NonNegativeInt, PositiveInt


def checked(base_channels: int, class_tokens: int, token_dim: int | None) -> int:
    """Return the length of class tokens. Raises :class:`ConfigError` for widths that do not fit."""
    if base_channels % 2:
        raise ConfigError(f"base_channels must be even, not {base_channels}: half of the noise embedding is sines")
    if token_dim is not None and not class_tokens:
        raise ConfigError("token_dim is the length of class tokens, and class_tokens is 0: remove it")
    return token_dim or 512


def parts_of(block: Callable[..., nn.Module], attention: Callable[[int], nn.Module], updown: bool) -> Parts:
    """Return what the levels are made of; ``updown``: residual blocks change the size (ADM), not convolutions."""
    if not updown:
        return Parts(block, attention, Downsample, Upsample)
    ways = [lambda width, way=way: block(width, width, resampling=way) for way in ("down", "up")]
    return Parts(block, attention, *ways)


@diffusion_models_registry.add_to_registry(name="unet")
class UNet(nn.Module):
    """A backbone: x [N, C, H, W], c_noise [N] and a condition into [N, out_channels, H, W].

    ``channel_mult`` has an entry for each resolution, from the image's (divided by ``patch``) down, by halves.
    ``attention_resolutions`` are sizes of the feature map, after ``patch``. ``head_channels`` None is one head.
    ``out_channels`` None is as many as the image has; twice as many for a learned variance. ``class_tokens``: attention
    layers are transformer blocks, and look at so many tokens of length ``token_dim`` (None: 512) that stand for the
    class; 0: they are self-attention, and the class is a row added to the noise embedding.
    """

    smallest: ClassVar[dict[str, Any]] = {
        "base_channels": 16,
        "channel_mult": [1, 2],
        "blocks_per_level": 1,
        "attention_resolutions": [8],
        "head_channels": 16,
        "scale_shift_norm": True,
        "resblock_updown": True,
        "patch": 2,
    }
    variants: ClassVar[dict[str, dict[str, Any]]] = {  # other layers than the smallest has: tests build these too
        "tokens": {**smallest, "patch": 1, "class_tokens": 2, "token_dim": 8},
    }

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        base_channels: PositiveInt = 128,
        channel_mult: list[PositiveInt] = [1, 2, 2, 2],  # noqa: B006 (only read)
        blocks_per_level: PositiveInt = 2,
        attention_resolutions: list[PositiveInt] = [16],  # noqa: B006 (only read)
        head_channels: PositiveInt | None = None,
        scale_shift_norm: bool = False,
        resblock_updown: bool = False,
        dropout: Fraction = 0.1,
        patch: Literal[1, 2, 4] = 1,
        out_channels: PositiveInt | None = None,
        class_tokens: NonNegativeInt = 0,
        token_dim: PositiveInt | None = None,
    ):
        super().__init__()
        resolutions = level_resolutions(image_size, len(channel_mult), patch, attention_resolutions)
        token_dim = checked(base_channels, class_tokens, token_dim)
        self.image_channels, self.multiple = image_channels, patch * 2 ** (len(channel_mult) - 1)
        self.resblock_updown = resblock_updown
        emb_dim, out_channels = 4 * base_channels, out_channels or image_channels
        tells = class_tokens > 0 and num_classes > 0
        look = partial(SpatialTransformer, context_dim=token_dim if tells else None) if class_tokens else SelfAttention
        block = partial(ResidualBlock, emb_dim=emb_dim, dropout=dropout, scale_shift=scale_shift_norm)
        parts = parts_of(block, partial(look, head_channels=head_channels), resblock_updown)
        attends = [resolution in attention_resolutions for resolution in resolutions]
        widths = [mult * base_channels for mult in channel_mult]

        self.embedding = NoiseAndLabelEmbedding(base_channels, emb_dim, 0 if tells else num_classes)
        self.label_tokens = LabelTokens(num_classes, class_tokens, token_dim) if tells else None
        self.fold = nn.PixelUnshuffle(patch)
        self.conv_in = conv3x3(patch**2 * image_channels, base_channels)
        self.encoder = parts.encoder(base_channels, widths, [[a] * blocks_per_level for a in attends])
        self.middle = parts.middle(widths[-1])
        self.decoder = parts.decoder(base_channels, widths, [[a] * (blocks_per_level + 1) for a in attends])
        self.norm_out = GroupNorm(widths[0])
        self.conv_out = zero_init(conv3x3(widths[0], patch**2 * out_channels))
        self.unfold = nn.PixelShuffle(patch)
        bypass = partial(PatchBypass, image_channels, patch, out_channels, widths[0], emb_dim)
        self.bypass = bypass() if patch > 1 else None

    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        """Turn x [N, C, H, W], c_noise [N] and ``cond`` into [N, out_channels, H, W]."""
        check_images(x, self.image_channels, multiple=self.multiple)
        check_rows(c_noise, len(x), "noise numbers")
        emb = self.embedding(c_noise, cond)  # [N, 4 * base_channels]
        context = None if self.label_tokens is None else self.label_tokens(cond, len(x))  # [N, T, token_dim]
        folded = self.fold(x)  # [N, patch^2 * C, H / patch, W / patch]
        x = down_and_up(self, self.conv_in(folded), emb, context)  # [N, base_channels * channel_mult[0], ...]
        features = F.silu(self.norm_out(x))
        x = self.conv_out(features)
        return self.unfold(x if self.bypass is None else x + self.bypass(folded, features, emb))
