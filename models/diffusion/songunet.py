"""The U-Net of EDM's FFHQ and AFHQ models at 64 by 64, "DDPM++".

Tero Karras, Miika Aittala, Timo Aila, Samuli Laine 2022, "Elucidating the Design Space of Diffusion-Based Generative
Models", table 7; the architecture is that of Yang Song et al. 2020, "Score-Based Generative Modeling through Stochastic
Differential Equations", appendix H. Against DDPM's U-Net (``unet.py``): every residual sum is divided by sqrt(2), so
that it keeps its variance; the ways down and up are residual blocks with a 1 by 1 convolution on their skip; coming up,
attention stands after the last block of a resolution only; the label joins the noise level before the two-layer net;
weights are drawn by Glorot's rule.

What differs here: convolutions that the authors draw 1e-5 of their usual size begin at zero; the null class is a row
of the label table (theirs: the bias alone); their nine inputs that name a geometric augmentation are left out.
"""

from functools import partial
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from models.diffusion.pyramid import Parts, down_and_up, level_resolutions
from models.layers.blocks import GroupNorm, ResidualBlock, SelfAttention, conv3x3, zero_init
from models.layers.embedding import LabelEmbedding, sinusoidal_embedding
from models.registry import diffusion_models_registry
from utils.batch import Condition
from utils.checks import check_images, check_rows
from utils.errors import ConfigError
from utils.schema import Fraction, PositiveInt

HALF = 0.5**0.5  # the sum of two things of unit variance, times this, has unit variance
EPS = 1e-6  # of every group norm
ATTENTION_GAIN = 0.2**0.5  # queries, keys and values start that much smaller


class SongBlock(nn.Module):
    """A residual block whose sum keeps its variance. One that resamples has a 1 by 1 convolution on its skip."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_dim: int,
        dropout: float = 0.0,
        resampling: Literal["up", "down"] | None = None,
    ):
        super().__init__()
        self.block = ResidualBlock(in_channels, out_channels, emb_dim, dropout, resampling=resampling)
        if resampling:
            self.block.skip = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Turn x [N, C, H, W] and emb [N, emb_dim] into [N, C', H', W']."""
        return HALF * self.block(x, emb)


class SongAttention(nn.Module):
    """Self-attention with one head whose sum keeps its variance: [N, C, H, W] into the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.attention = SelfAttention(channels)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return HALF * self.attention(x, context)


class SongEmbedding(nn.Module):
    """The vector that each block sees: a two-layer net of the noise level's sinusoids plus the label's row.

    The sinusoids take c_noise as it comes, as in the authors' code. EDM's ln(sigma) / 4 lies between -1.6 and 1.1, far
    from the 0 to 1000 of a DDPM's steps for which the frequencies were chosen: only the fastest of them bend there, to
    the others such numbers are a straight line.
    """

    def __init__(self, noise_channels: int, dim: int, num_classes: int):
        super().__init__()
        self.noise_channels = noise_channels
        self.label = LabelEmbedding(num_classes, noise_channels) if num_classes else None
        self.linear1 = nn.Linear(noise_channels, dim)
        self.linear2 = nn.Linear(dim, dim)

    def forward(self, c_noise: Tensor, cond: Condition) -> Tensor:
        """Turn c_noise [N] and the labels into [N, dim]; the blocks begin with the SiLU after the second layer."""
        emb = sinusoidal_embedding(c_noise, self.noise_channels, endpoint=True)
        if self.label is not None:
            emb = emb + self.label(cond, len(c_noise))
        return self.linear2(F.silu(self.linear1(emb)))


@diffusion_models_registry.add_to_registry(name="songunet")
class SongUNet(nn.Module):
    """A backbone: x [N, C, H, W], c_noise [N] and a condition into [N, out_channels, H, W].

    The defaults are the FFHQ model's. ``channel_mult`` has an entry for each resolution, from the image's down, by
    halves; ``out_channels`` None is as many as the image has.
    """

    smallest: ClassVar[dict[str, Any]] = {
        "base_channels": 16,
        "channel_mult": [1, 2],
        "blocks_per_level": 1,
        "attention_resolutions": [8],
    }

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        base_channels: PositiveInt = 128,
        channel_mult: list[PositiveInt] = [1, 2, 2, 2],  # noqa: B006 (only read)
        blocks_per_level: PositiveInt = 4,
        attention_resolutions: list[PositiveInt] = [16],  # noqa: B006 (only read)
        dropout: Fraction = 0.05,
        out_channels: PositiveInt | None = None,
    ):
        super().__init__()
        if base_channels % 2 or base_channels < 4:
            raise ConfigError(f"base_channels must be even and at least 4, not {base_channels}: half are sines")
        resolutions = level_resolutions(image_size, len(channel_mult), 1, attention_resolutions)
        attends = [resolution in attention_resolutions for resolution in resolutions]
        widths = [mult * base_channels for mult in channel_mult]
        block = partial(SongBlock, emb_dim=4 * base_channels, dropout=dropout)
        parts = Parts(
            block=block,
            attention=SongAttention,
            down=lambda width: block(width, width, resampling="down"),
            up=lambda width: block(width, width, resampling="up"),
        )

        self.image_channels, self.multiple = image_channels, 2 ** (len(channel_mult) - 1)
        self.embedding = SongEmbedding(base_channels, 4 * base_channels, num_classes)
        self.conv_in = conv3x3(image_channels, base_channels)
        self.encoder = parts.encoder(base_channels, widths, [[a] * blocks_per_level for a in attends])
        self.middle = parts.middle(widths[-1])
        self.decoder = parts.decoder(base_channels, widths, [[False] * blocks_per_level + [a] for a in attends])
        self.norm_out = GroupNorm(widths[0])
        self.conv_out = conv3x3(widths[0], out_channels or image_channels)
        self._initialise()

    def _initialise(self) -> None:
        """Glorot's rule, biases at zero; the last layer of each branch, and of the network, begins at zero."""
        for module in self.modules():
            if isinstance(module, GroupNorm):
                module.eps = EPS
            elif isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                zero_init(module.conv2)
            elif isinstance(module, SelfAttention):
                nn.init.xavier_uniform_(module.qkv.weight, gain=ATTENTION_GAIN)
                zero_init(module.out)
        zero_init(self.conv_out)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        """Turn x [N, C, H, W], c_noise [N] and ``cond`` into [N, out_channels, H, W]."""
        check_images(x, self.image_channels, multiple=self.multiple)
        check_rows(c_noise, len(x), "noise numbers")
        emb = self.embedding(c_noise, cond)  # [N, 4 * base_channels]
        x = down_and_up(self, self.conv_in(x), emb)  # [N, base_channels * channel_mult[0], H, W]
        return self.conv_out(F.silu(self.norm_out(x)))
