"""The modern GAN baseline.

Yiwen Huang, Aaron Gokaslan, Volodymyr Kuleshov, James Tompkin 2024, "The GAN is dead; long live the GAN! A Modern GAN
Baseline", section 4 (config E). Both players are stacks of residual blocks at 4, 8, ... image_size. A block is a
convolution of 1 by 1, one of 3 by 3 in groups of 16 channels and one of 1 by 1, twice as wide inside, with LeakyReLU
of slope 0.2 between; nothing is normalised. Where the size changes there is the filter [1, 2, 1], and a 1 by 1 if the
width changes too. The generator starts from a learned 4 by 4 basis that z scales, the discriminator ends with a
depthwise 4 by 4. Weights start as in He et al. 2015, those inside a block smaller by L^(-1/4) for L blocks, the last
of a block at zero (Zhang et al. 2019, Fixup).

Trained with ``relativistic_gen``, ``relativistic_disc``, and ``r1`` and ``r2`` of one coefficient, Adam with beta1 0;
the learning rate, gamma and beta2 follow half a cosine over a burn-in (configs/gan/food101_r3gan.yaml).

What differs here: labels as in the other nets, a row beside z, and a projection added to the unconditional logit.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.blocks import zero_init
from models.layers.checks import START, doublings
from models.layers.embedding import LabelProjection, LatentAndLabel
from models.layers.filters import filtered_down, filtered_up
from models.layers.grouped import GroupedConv3x3
from models.registry import discs_registry, gens_registry
from utils.batch import Condition
from utils.checks import check_images
from utils.errors import ConfigError
from utils.schema import PositiveInt

PAPER_WIDTHS = [768, 768, 768, 768, 384, 192, 96]  # at 4, 8, ... 256: FFHQ
SLOPE = 0.2


def he_init(layer: nn.Module, scale: float = 1.0, before_activation: bool = True) -> nn.Module:
    """Draw the weight so that the size of a signal stays (He et al. 2015), times ``scale``; the bias is zero."""
    nn.init.kaiming_normal_(layer.weight, a=SLOPE, nonlinearity="leaky_relu" if before_activation else "linear")
    layer.weight.data.mul_(scale)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def linear1x1(in_channels: int, out_channels: int) -> nn.Module:
    """Return what changes the width: a 1 by 1 convolution without bias, or nothing where it stays."""
    if in_channels == out_channels:
        return nn.Identity()
    return he_init(nn.Conv2d(in_channels, out_channels, 1, bias=False), before_activation=False)


class BottleneckBlock(nn.Module):
    """x + narrow(act(mix(act(widen(x))))): [N, C, H, W] into the same shape. ``blocks``: how many the network has."""

    def __init__(self, channels: int, expansion: int, group_size: int, blocks: int):
        super().__init__()
        inside = channels * expansion
        if inside % group_size:
            raise ConfigError(
                f"group_size {group_size} does not divide {inside}, the channels inside a block: take a divisor"
            )
        self.widen = he_init(nn.Conv2d(channels, inside, 1), blocks**-0.25)
        self.mix = he_init(GroupedConv3x3(inside, group_size), blocks**-0.25)
        self.narrow = zero_init(nn.Conv2d(inside, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Add to x [N, C, H, W] what the block makes of it."""
        h = F.leaky_relu(self.widen(x), SLOPE)
        return x + self.narrow(F.leaky_relu(self.mix(h), SLOPE))


def stages(widths: list[int], per_stage: int, expansion: int, group_size: int) -> nn.ModuleList:
    """Return ``per_stage`` blocks of every width."""
    total = len(widths) * per_stage
    return nn.ModuleList(
        nn.Sequential(*(BottleneckBlock(width, expansion, group_size, total) for _ in range(per_stage)))
        for width in widths
    )


def checked_widths(widths: list[int] | None, image_size: int) -> list[int]:
    """Return a width for each size from 4 up: the paper's where none are given. Raises :class:`ConfigError`."""
    count = doublings(image_size, "r3gan") + 1
    widths = PAPER_WIDTHS[:count] if widths is None else widths
    if len(widths) != count:
        raise ConfigError(f"widths {widths}: data.image_size {image_size} takes {count}, for 4, 8, ... {image_size}")
    return widths


@gens_registry.add_to_registry(name="r3gan")
class R3GANGenerator(nn.Module):
    """z [N, z_dim] and labels into images [N, C, H, W], around [-1, 1]: nothing squashes them.

    ``widths`` are those at 4, 8, ... image_size; there are ``blocks_per_stage`` blocks at each.
    """

    smallest: ClassVar[dict[str, Any]] = {"z_dim": 8, "widths": [16, 16, 8], "blocks_per_stage": 1, "group_size": 8}
    fits_fp16: ClassVar[bool] = False

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        z_dim: PositiveInt = 64,
        widths: list[PositiveInt] | None = None,
        blocks_per_stage: PositiveInt = 2,
        expansion: PositiveInt = 2,
        group_size: PositiveInt = 16,
    ):
        super().__init__()
        widths = checked_widths(widths, image_size)
        self.z_dim = z_dim
        self.latent = LatentAndLabel(z_dim, num_classes)
        self.basis = nn.Parameter(torch.randn(widths[0], START, START))
        linear = nn.Linear(self.latent.out_features, widths[0], bias=False)
        self.linear = he_init(linear, before_activation=False)
        self.stages = stages(widths, blocks_per_stage, expansion, group_size)
        self.widths = nn.ModuleList(linear1x1(width, after) for width, after in zip(widths, widths[1:]))
        self.to_image = linear1x1(widths[-1], image_channels)

    def forward(self, z: Tensor, cond: Condition) -> Tensor:
        """Turn z [N, z_dim] and ``cond`` into images [N, C, H, W]."""
        x = self.basis * self.linear(self.latent(z, cond))[:, :, None, None]  # [N, widths[0], 4, 4]
        x = self.stages[0](x)
        for stage, change_width in zip(self.stages[1:], self.widths):
            x = stage(filtered_up(change_width(x)))
        return self.to_image(x)


@discs_registry.add_to_registry(name="r3gan")
class R3GANDiscriminator(nn.Module):
    """Images [N, C, H, W] and labels into logits [N]: above zero means real.

    ``widths`` are those at 4, 8, ... image_size, as the generator's; there are ``blocks_per_stage`` blocks at each.
    """

    smallest: ClassVar[dict[str, Any]] = {"widths": [16, 16, 8], "blocks_per_stage": 1, "group_size": 8}
    fits_fp16: ClassVar[bool] = False

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        widths: list[PositiveInt] | None = None,
        blocks_per_stage: PositiveInt = 2,
        expansion: PositiveInt = 2,
        group_size: PositiveInt = 16,
    ):
        super().__init__()
        widths = checked_widths(widths, image_size)[::-1]
        self.seen = (image_channels, image_size)  # what it looks at
        self.from_image = linear1x1(image_channels, widths[0])
        self.stages = stages(widths, blocks_per_stage, expansion, group_size)
        self.widths = nn.ModuleList(linear1x1(width, after) for width, after in zip(widths, widths[1:]))
        self.collapse = nn.Parameter(torch.randn(widths[-1], START, START) / START)  # depthwise, 16 weights a channel
        self.to_logit = he_init(nn.Linear(widths[-1], 1, bias=False), before_activation=False)
        self.projection = LabelProjection(num_classes, widths[-1]) if num_classes else None

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        """Turn images [N, C, H, W] and ``cond`` into logits [N]."""
        check_images(x, *self.seen)
        x = self.stages[0](self.from_image(x))
        for stage, change_width in zip(self.stages[1:], self.widths):
            x = stage(change_width(filtered_down(x)))
        h = (x * self.collapse).sum(dim=(2, 3))  # [N, widths at 4]
        logits = self.to_logit(h).squeeze(1)  # [N]
        return logits if self.projection is None else logits + self.projection(h[:, :, None, None], cond)
