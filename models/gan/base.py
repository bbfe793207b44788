"""The plain generator and discriminator of the task's template, repaired.

No paper: blocks of two 3 by 3 convolutions of one width, ``blocks_num`` times doubled or halved. What differs from the
template: group norm, LeakyReLU of slope 0.2 (not -0.2), no activation after the output convolution but tanh, averaging
instead of dropping three pixels of four, logits without a sigmoid, and labels (beside z; by projection).
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.layers.blocks import GroupNorm, conv3x3, resample
from models.layers.checks import check_image_size
from models.layers.embedding import LabelProjection, LatentAndLabel
from models.registry import discs_registry, gens_registry
from utils.batch import Condition
from utils.checks import check_images
from utils.schema import PositiveInt


class PlainBlock(nn.Sequential):
    """Twice convolution, group norm, LeakyReLU: [N, C, H, W] into [N, C', H, W]."""

    def __init__(self, in_channels: int, out_channels: int):
        layers = []
        for channels in (in_channels, out_channels):
            layers += [conv3x3(channels, out_channels), GroupNorm(out_channels), nn.LeakyReLU(0.2)]
        super().__init__(*layers)


@gens_registry.add_to_registry(name="base_gen")
class BaseGenerator(nn.Module):
    """z [N, z_dim] and labels into images [N, C, H, W] in [-1, 1].

    ``hidden_dim`` is the width of every block. The first works at image_size / 2^blocks_num: 4 by 4 at 64 and 4 blocks.
    """

    smallest: ClassVar[dict[str, Any]] = {"z_dim": 8, "hidden_dim": 16, "blocks_num": 2}

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        z_dim: PositiveInt = 128,
        hidden_dim: PositiveInt = 128,
        blocks_num: PositiveInt = 4,
    ):
        super().__init__()
        check_image_size(image_size, 2**blocks_num, f"blocks_num {blocks_num}")
        self.z_dim = z_dim
        self.start = (hidden_dim, image_size // 2**blocks_num, image_size // 2**blocks_num)  # C, H, W
        self.latent = LatentAndLabel(z_dim, num_classes)
        self.linear = nn.Linear(self.latent.out_features, hidden_dim * self.start[1] * self.start[2])
        self.blocks = nn.ModuleList(PlainBlock(hidden_dim, hidden_dim) for _ in range(blocks_num + 1))
        self.to_image = conv3x3(hidden_dim, image_channels)

    def forward(self, z: Tensor, cond: Condition) -> Tensor:
        """Turn z [N, z_dim] and ``cond`` into images [N, C, H, W]."""
        x = self.linear(self.latent(z, cond)).view(-1, *self.start)
        x = self.blocks[0](x)
        for block in self.blocks[1:]:
            x = block(resample(x, "up"))
        return torch.tanh(self.to_image(x))


@discs_registry.add_to_registry(name="base_disc")
class BaseDiscriminator(nn.Module):
    """Images [N, C, H, W] and labels into logits [N]: above zero means real.

    ``hidden_dim`` is the width of every block. The last works at image_size / 2^blocks_num: 4 by 4 at 64 and 4 blocks.
    """

    smallest: ClassVar[dict[str, Any]] = {"hidden_dim": 16, "blocks_num": 2}

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        hidden_dim: PositiveInt = 128,
        blocks_num: PositiveInt = 4,
    ):
        super().__init__()
        check_image_size(image_size, 2**blocks_num, f"blocks_num {blocks_num}")
        widths = [image_channels] + [hidden_dim] * blocks_num
        self.seen = (image_channels, image_size)  # what it looks at
        self.blocks = nn.ModuleList(PlainBlock(width, hidden_dim) for width in widths)
        self.to_logit = nn.Linear(hidden_dim * (image_size // 2**blocks_num) ** 2, 1)
        self.projection = LabelProjection(num_classes, hidden_dim) if num_classes else None

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        """Turn images [N, C, H, W] and ``cond`` into logits [N]."""
        check_images(x, *self.seen)
        x = self.blocks[0](x)
        for block in self.blocks[1:]:
            x = block(resample(x, "down"))
        logits = self.to_logit(x.flatten(1)).squeeze(1)  # [N]
        return logits if self.projection is None else logits + self.projection(x, cond)
