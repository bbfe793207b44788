"""The autoencoder of latent diffusion.

Robin Rombach, Andreas Blattmann, Dominik Lorenz, Patrick Esser, Björn Ommer 2022, "High-Resolution Image Synthesis with
Latent Diffusion Models", section 3.1 and appendix G. The network is that of Esser et al. 2021, "Taming Transformers",
table 7; the defaults are KL-f4, and ``channel_mult: [1, 2, 4, 4], latent_channels: 4`` is KL-f8, Stable Diffusion's.

What differs here: group norms of fewer than 32 groups below 128 channels; ``patch`` folds the image into patch^2 times
as many channels first (pixel unshuffle) and unfolds it last, which a CPU affords; neither discriminator nor perceptual
loss.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from models.autoencoders.base import Autoencoder, Posterior
from models.layers.blocks import GroupNorm, SelfAttention, conv3x3, resample
from models.layers.checks import check_levels
from models.registry import autoencoders_registry
from utils.schema import Fraction, PositiveInt

EPS = 1e-6  # of every group norm, as in the authors' code
LOG_VARIANCE = (-30.0, 20.0)  # as there: exp stays finite


class ResidualUnit(nn.Module):
    """Norm, SiLU, convolution, norm, SiLU, dropout, convolution; around it the identity or a 1 by 1."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float):
        super().__init__()
        self.norm1 = GroupNorm(in_channels, EPS)
        self.conv1 = conv3x3(in_channels, out_channels)
        self.norm2 = GroupNorm(out_channels, EPS)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn x [N, C, H, W] into [N, C', H, W]."""
        h = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(self.dropout(F.silu(self.norm2(h))))


class Halve(nn.Module):
    """A convolution of stride 2, padded on the right and below only, as in the authors' code."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Turn x [N, C, H, W] into [N, C, H / 2, W / 2]."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    """Repetition, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Turn x [N, C, H, W] into [N, C, 2 H, 2 W]."""
        return self.conv(resample(x, "up"))


def middle(channels: int, attention: bool, dropout: float) -> list[nn.Module]:
    """Return the layers at the lowest resolution: a residual unit, self-attention, a residual unit."""
    units = [ResidualUnit(channels, channels, dropout) for _ in range(2)]
    return [units[0], SelfAttention(channels, eps=EPS), units[1]] if attention else units


def output(channels: int, out_channels: int) -> list[nn.Module]:
    return [GroupNorm(channels, EPS), nn.SiLU(), conv3x3(channels, out_channels)]


@dataclass(frozen=True)
class Shape:
    """What encoder and decoder have in common."""

    widths: list[int]  # channels at each resolution, from the largest
    units: int  # residual units a resolution
    attention: bool  # in the middle
    dropout: float

    def encoder(self, in_channels: int, out_channels: int) -> list[nn.Module]:
        """Return the way from the first width down to the last: the units of a resolution, then halved."""
        widths = self.widths
        layers: list[nn.Module] = [conv3x3(in_channels, widths[0])]
        for level, (before, width) in enumerate(zip([widths[0], *widths], widths)):
            layers += [ResidualUnit(w, width, self.dropout) for w in [before] + [width] * (self.units - 1)]
            layers += [Halve(width)] if level < len(widths) - 1 else []
        return [*layers, *middle(widths[-1], self.attention, self.dropout), *output(widths[-1], out_channels)]

    def decoder(self, in_channels: int, out_channels: int) -> list[nn.Module]:
        """Return the way back up, with one residual unit more at each resolution."""
        widths = self.widths
        layers = [conv3x3(in_channels, widths[-1]), *middle(widths[-1], self.attention, self.dropout)]
        for level in reversed(range(len(widths))):
            before, width = widths[min(level + 1, len(widths) - 1)], widths[level]
            layers += [ResidualUnit(w, width, self.dropout) for w in [before] + [width] * self.units]
            layers += [Double(width)] if level else []
        return [*layers, *output(widths[0], out_channels)]


@autoencoders_registry.add_to_registry(name="kl_autoencoder")
class KLAutoencoder(Autoencoder):
    """Images to latents of ``latent_channels``, smaller by ``factor`` = patch * 2^(levels - 1) in height and width.

    ``channel_mult`` has an entry for each resolution, from the image's (divided by ``patch``) down, by halves.
    """

    smallest: ClassVar[dict[str, Any]] = {"base_channels": 8, "channel_mult": [1, 2], "blocks_per_level": 1, "patch": 2}

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        base_channels: PositiveInt = 128,
        channel_mult: list[PositiveInt] = [1, 2, 4],  # noqa: B006 (only read)
        blocks_per_level: PositiveInt = 2,
        latent_channels: PositiveInt = 3,
        attention: bool = True,  # in the middle
        dropout: Fraction = 0.0,
        patch: Literal[1, 2, 4] = 1,
    ):
        super().__init__()
        self.image_channels, self.factor = image_channels, check_levels(image_size, patch, channel_mult)
        side, folded = image_size // self.factor, patch**2 * image_channels
        self.latent_shape = (latent_channels, side, side)
        shape = Shape([mult * base_channels for mult in channel_mult], blocks_per_level, attention, dropout)
        self.encoder = nn.Sequential(nn.PixelUnshuffle(patch), *shape.encoder(folded, 2 * latent_channels))
        self.to_moments = nn.Conv2d(2 * latent_channels, 2 * latent_channels, kernel_size=1)
        self.from_latent = nn.Conv2d(latent_channels, latent_channels, kernel_size=1)
        self.decoder = nn.Sequential(*shape.decoder(latent_channels, folded), nn.PixelShuffle(patch))

    def encode(self, x: Tensor) -> Posterior:
        """Return q(z | x), float32, for x [N, C, H, W]."""
        mean, log_variance = self.to_moments(self.encoder(x)).float().chunk(2, dim=1)  # [N, c, h, w] each
        return Posterior(mean, log_variance.clamp(*LOG_VARIANCE))

    def decode(self, z: Tensor) -> Tensor:
        """Turn z [N, c, h, w] into images [N, C, H, W]."""
        return self.decoder(self.from_latent(z))
