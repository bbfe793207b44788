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

from functools import partial
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.blocks import (
    Downsample,
    GroupNorm,
    ResidualBlock,
    SelfAttention,
    Stage,
    Upsample,
    cat_channels,
    conv3x3,
    zero_init,
)
from models.layers.bypass import PatchBypass
from models.layers.checks import check_image_size
from models.layers.embedding import LabelTokens, NoiseAndLabelEmbedding
from models.layers.transformer import SpatialTransformer
from models.registry import diffusion_models_registry
from utils.batch import Condition
from utils.checks import check_images, check_rows
from utils.errors import ConfigError
from utils.schema import Fraction, NonNegativeInt, PositiveInt


class EncoderLevel(nn.Module):
    """The stages of one resolution, then the way down to the next where there is one."""

    def __init__(self, stages: list[Stage], down: nn.Module | None):
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.down = down

    def forward(self, x: Tensor, emb: Tensor, context: Tensor | None) -> list[Tensor]:
        """Return what each stage, and the way down, makes of x [N, C, H, W]: skip connections, the last goes on."""
        features = []
        for stage in self.stages:
            x = stage(x, emb, context)
            features.append(x)
        return features if self.down is None else [*features, self.down(x, emb)]


class DecoderLevel(nn.Module):
    """The stages of one resolution, each of which takes a skip connection, then the way up where there is one."""

    def __init__(self, stages: list[Stage], up: nn.Module | None):
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.up = up

    def forward(self, x: Tensor, skips: list[Tensor], emb: Tensor, context: Tensor | None) -> Tensor:
        """Turn x [N, C, H, W] and as many ``skips`` as there are stages, the first taken last, into [N, C', H', W']."""
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            x = stage(cat_channels(x, skip), emb, context)
        return x if self.up is None else self.up(x, emb)


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
        if base_channels % 2:
            raise ConfigError(f"base_channels must be even, not {base_channels}: half of the noise embedding is sines")

        if token_dim is not None and not class_tokens:
            raise ConfigError("token_dim is the length of class tokens, and class_tokens is 0: remove it")

        token_dim = token_dim or 512
        self.image_channels, self.multiple = image_channels, patch * 2 ** (len(channel_mult) - 1)
        emb_dim = 4 * base_channels
        self.resblock_updown = resblock_updown
        self.new_block = partial(ResidualBlock, emb_dim=emb_dim, dropout=dropout, scale_shift=scale_shift_norm)
        tells = class_tokens > 0 and num_classes > 0
        transformer = partial(SpatialTransformer, context_dim=token_dim if tells else None)
        self.new_attention = partial(transformer if class_tokens else SelfAttention, head_channels=head_channels)
        attends = [resolution in attention_resolutions for resolution in resolutions]
        widths = [mult * base_channels for mult in channel_mult]

        self.embedding = NoiseAndLabelEmbedding(base_channels, emb_dim, 0 if tells else num_classes)
        self.label_tokens = LabelTokens(num_classes, class_tokens, token_dim) if tells else None
        self.fold = nn.PixelUnshuffle(patch)
        self.conv_in = conv3x3(patch**2 * image_channels, base_channels)
        skip_widths = self._build_encoder(widths, attends, blocks_per_level)
        self.middle = nn.ModuleList([self._stage(widths[-1], widths[-1], attention) for attention in (True, False)])
        self._build_decoder(widths, attends, blocks_per_level, skip_widths)
        self.norm_out = GroupNorm(widths[0])
        self.conv_out = zero_init(conv3x3(widths[0], patch**2 * (out_channels or image_channels)))
        self.unfold = nn.PixelShuffle(patch)
        bypass = partial(PatchBypass, image_channels, patch, out_channels or image_channels, widths[0], emb_dim)
        self.bypass = bypass() if patch > 1 else None

    def _stage(self, in_channels: int, out_channels: int, attends: bool) -> Stage:
        return Stage(self.new_block(in_channels, out_channels), self.new_attention(out_channels) if attends else None)

    def _resample(self, channels: int, how: Literal["up", "down"]) -> nn.Module:
        if self.resblock_updown:
            return self.new_block(channels, channels, resampling=how)
        return Upsample(channels) if how == "up" else Downsample(channels)

    def _build_encoder(self, widths: list[int], attends: list[bool], blocks: int) -> list[int]:
        """Build ``self.encoder``. Returns the channels of the skip connections, from the first."""
        skip_widths = [self.conv_in.out_channels]
        self.encoder = nn.ModuleList()
        for level, width in enumerate(widths):
            in_widths = [skip_widths[-1]] + [width] * (blocks - 1)
            down = self._resample(width, "down") if level < len(widths) - 1 else None
            self.encoder.append(EncoderLevel([self._stage(w, width, attends[level]) for w in in_widths], down))
            skip_widths += [width] * (blocks + (down is not None))
        return skip_widths

    def _build_decoder(self, widths: list[int], attends: list[bool], blocks: int, skip_widths: list[int]) -> None:
        """Build ``self.decoder``, lowest resolution first: a stage for every skip connection."""
        skip_widths, x_width = list(skip_widths), widths[-1]
        self.decoder = nn.ModuleList()
        for level in reversed(range(len(widths))):
            stages = []
            for _ in range(blocks + 1):
                stages.append(self._stage(x_width + skip_widths.pop(), widths[level], attends[level]))
                x_width = widths[level]
            self.decoder.append(DecoderLevel(stages, self._resample(x_width, "up") if level else None))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        """Turn x [N, C, H, W], c_noise [N] and ``cond`` into [N, out_channels, H, W]."""
        check_images(x, self.image_channels, multiple=self.multiple)
        check_rows(c_noise, len(x), "noise numbers")
        emb = self.embedding(c_noise, cond)  # [N, 4 * base_channels]
        context = None if self.label_tokens is None else self.label_tokens(cond, len(x))  # [N, T, token_dim]
        folded = self.fold(x)  # [N, patch^2 * C, H / patch, W / patch]
        skips = [self.conv_in(folded)]  # [N, base_channels, ...]
        for level in self.encoder:
            skips += level(skips[-1], emb, context)
        x = skips[-1]  # [N, base_channels * channel_mult[-1], ...], the lowest resolution
        for stage in self.middle:
            x = stage(x, emb, context)
        for level in self.decoder:
            taken = len(skips) - len(level.stages)
            x = level(x, skips[taken:], emb, context)
            skips = skips[:taken]
        features = F.silu(self.norm_out(x))
        x = self.conv_out(features)
        return self.unfold(x if self.bypass is None else x + self.bypass(folded, features, emb))


def level_resolutions(image_size: int, levels: int, patch: int, attention_resolutions: list[int]) -> list[int]:
    """Return the size of the feature map at every level. Raises ``ConfigError`` where the sizes do not fit together."""
    if patch not in (1, 2, 4):
        raise ConfigError(f"patch must be 1, 2 or 4, not {patch}")
    if not levels:
        raise ConfigError("channel_mult is empty: give it an entry for each resolution, such as [1, 2, 2, 2]")
    check_image_size(image_size, patch * 2 ** (levels - 1), f"patch {patch} with the {levels} levels of channel_mult")
    resolutions = [image_size // patch // 2**level for level in range(levels)]
    for resolution in attention_resolutions:
        if resolution not in resolutions:
            raise ConfigError(
                f"attention_resolutions: {resolution} is not a size of the feature map here ({resolutions})"
            )
    return resolutions
