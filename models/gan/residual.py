"""The residual generator and discriminator that SNGAN and SAGAN share.

Miyato et al. 2018, appendix B.4, tables 4 to 6. Widths double at every halving of the size, up to ``max_channels``.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.attention import GanAttention
from models.layers.blocks import resample
from models.layers.checks import START, doublings
from models.layers.embedding import LabelEmbedding, LabelProjection
from models.layers.spectral import spectral_norm
from utils.batch import Condition
from utils.checks import check_images, check_rows
from utils.errors import ConfigError


def conv(in_channels: int, out_channels: int, size: int, spectral: bool, bias: bool = True) -> nn.Module:
    """Return a padded convolution with Glorot's uniform weights, twice the variance before a ReLU (3 by 3)."""
    layer = nn.Conv2d(in_channels, out_channels, size, padding=size // 2, bias=bias)
    nn.init.xavier_uniform_(layer.weight, gain=math.sqrt(2) if size == 3 else 1.0)
    if bias:
        nn.init.zeros_(layer.bias)
    return spectral_norm(layer) if spectral else layer


def linear(in_features: int, out_features: int, spectral: bool) -> nn.Module:
    layer = nn.Linear(in_features, out_features)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return spectral_norm(layer) if spectral else layer


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose scale and shift are rows of a table, one a class (Dumoulin et al. 2017; de Vries et al. 2017).

    All start as scale 1 and shift 0. Without classes it is the plain batch norm.
    """

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not num_classes)
        self.label = LabelEmbedding(num_classes, 2 * channels, std=0.0) if num_classes else None

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        """Normalise x [N, C, H, W] over the batch."""
        x = self.norm(x)
        if self.label is None:
            return x
        scale, shift = self.label(cond, len(x)).to(x.dtype)[:, :, None, None].chunk(2, dim=1)  # [N, C, 1, 1] each
        return x * (1 + scale) + shift


class GeneratorBlock(nn.Module):
    """Norm, ReLU, doubling, convolution, norm, ReLU, convolution; beside it a 1 by 1 convolution, doubled.

    No biases: the next batch norm would take them away.
    """

    def __init__(self, in_channels: int, out_channels: int, num_classes: int, spectral: bool):
        super().__init__()
        self.norm1 = ConditionalBatchNorm(in_channels, num_classes)
        self.conv1 = conv(in_channels, out_channels, 3, spectral, bias=False)
        self.norm2 = ConditionalBatchNorm(out_channels, num_classes)
        self.conv2 = conv(out_channels, out_channels, 3, spectral, bias=False)
        self.skip = conv(in_channels, out_channels, 1, spectral, bias=False)

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        """Turn x [N, C, H, W] into [N, C', 2 H, 2 W]."""
        h = self.conv1(resample(F.relu(self.norm1(x, cond)), "up"))
        h = self.conv2(F.relu(self.norm2(h, cond)))
        return h + resample(self.skip(x), "up")


class DiscriminatorBlock(nn.Module):
    """ReLU (not on the image itself), convolution, ReLU, convolution, halving; beside it a 1 by 1, or the identity."""

    def __init__(self, in_channels: int, out_channels: int, down: bool, first: bool):
        super().__init__()
        self.down = "down" if down else None
        self.first = first
        self.conv1 = conv(in_channels, out_channels, 3, spectral=True)
        self.conv2 = conv(out_channels, out_channels, 3, spectral=True)
        plain = in_channels == out_channels and not down
        self.skip = nn.Identity() if plain else conv(in_channels, out_channels, 1, spectral=True)

    def forward(self, x: Tensor) -> Tensor:
        """Turn x [N, C, H, W] into [N, C', H', W']."""
        h = self.conv1(x if self.first else F.relu(x))
        h = resample(self.conv2(F.relu(h)), self.down)
        return h + self.skip(resample(x, self.down))


def check_attention(size: int | None, sizes: list[int]) -> None:
    """Raise :class:`ConfigError` where there is no feature map of the size at which attention is asked for."""
    if size is not None and size not in sizes:
        raise ConfigError(f"attention_resolution {size} is not a size of the feature map here ({sizes})")


class ResidualGenerator(nn.Module):
    """z [N, z_dim] and labels into images [N, C, H, W] in [-1, 1].

    ``attention``: the size of the feature map at which every position looks at the others (None: nowhere).
    """

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        z_dim: int,
        base_channels: int,
        max_channels: int,
        spectral: bool,
        attention: int | None,
    ):
        super().__init__()
        self.z_dim = z_dim
        sizes = [START * 2**i for i in range(doublings(image_size, type(self).__name__) + 1)]
        widths = [min(base_channels * image_size // size, max_channels) for size in sizes]
        check_attention(attention, sizes[1:])
        self.start = (widths[0], START, START)  # C, H, W
        self.linear = linear(z_dim, widths[0] * START**2, spectral)
        self.blocks = nn.ModuleList(
            GeneratorBlock(width, next_width, num_classes, spectral) for width, next_width in zip(widths, widths[1:])
        )
        self.attends_after = None if attention is None else sizes.index(attention) - 1  # a block's number
        self.attention = None if attention is None else GanAttention(widths[sizes.index(attention)])
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_image = conv(widths[-1], image_channels, 3, spectral)

    def forward(self, z: Tensor, cond: Condition) -> Tensor:
        """Turn z [N, z_dim] and ``cond`` into images [N, C, H, W]."""
        check_rows(z, None, "latents", self.z_dim)
        x = self.linear(z).view(-1, *self.start)
        for number, block in enumerate(self.blocks):
            x = block(x, cond)
            if number == self.attends_after:
                x = self.attention(x)
        return torch.tanh(self.to_image(F.relu(self.norm(x))))


class ResidualDiscriminator(nn.Module):
    """Images [N, C, H, W] and labels into logits [N], every layer normalised spectrally.

    Blocks halve the picture to 4 by 4, one more keeps it; features are summed over it. The label enters by projection
    (Miyato & Koyama 2018).
    """

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        base_channels: int,
        max_channels: int,
        attention: int | None,
    ):
        super().__init__()
        halvings = doublings(image_size, type(self).__name__)
        self.seen = (image_channels, image_size)  # what it looks at
        sizes = [image_size // 2 ** (i + 1) for i in range(halvings)]
        widths = [min(base_channels * 2**i, max_channels) for i in range(halvings)]
        widths.append(min(base_channels * 2**halvings, max_channels))
        check_attention(attention, sizes)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(width, next_width, down=i < halvings, first=i == 0)
            for i, (width, next_width) in enumerate(zip([image_channels, *widths], widths))
        )
        self.attends_after = None if attention is None else sizes.index(attention)
        self.attention = None if attention is None else GanAttention(widths[sizes.index(attention)])
        self.to_logit = linear(widths[-1], 1, spectral=True)
        self.projection = LabelProjection(num_classes, widths[-1]) if num_classes else None
        if self.projection is not None:
            spectral_norm(self.projection.label)

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        """Turn images [N, C, H, W] and ``cond`` into logits [N]."""
        check_images(x, *self.seen)
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number == self.attends_after:
                x = self.attention(x)
        h = F.relu(x).sum(dim=(2, 3), keepdim=True)  # [N, C', 1, 1]
        logits = self.to_logit(h.flatten(1)).squeeze(1)  # [N]
        return logits if self.projection is None else logits + self.projection(h, cond)
