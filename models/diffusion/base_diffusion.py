"""The plain U-Net of the task's template, repaired.

No paper: two convolutions a resolution, widths doubled at each halving. What differs from the template: group norm,
SiLU instead of LeakyReLU(-0.2), a sinusoidal embedding of any noise level instead of a table of ``num_steps`` rows,
skip connections side by side, an output convolution, and labels.
"""

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.blocks import GroupNorm, cat_channels, conv3x3, resample, zero_init
from models.layers.checks import check_image_size
from models.layers.embedding import NoiseAndLabelEmbedding
from models.registry import diffusion_models_registry
from utils.batch import Condition
from utils.checks import check_images, check_rows
from utils.errors import ConfigError
from utils.schema import PositiveInt


class PlainBlock(nn.Module):
    """Twice convolution, group norm, SiLU; the embedding is added in between."""

    def __init__(self, in_channels: int, out_channels: int, emb_dim: int):
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels)
        self.norm1 = GroupNorm(out_channels)
        self.emb = nn.Linear(emb_dim, out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.norm2 = GroupNorm(out_channels)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Turn x [N, C, H, W] and emb [N, emb_dim] into [N, C', H, W]."""
        h = F.silu(self.norm1(self.conv1(x)))
        h = h + self.emb(F.silu(emb))[:, :, None, None]
        return F.silu(self.norm2(self.conv2(h)))


@diffusion_models_registry.add_to_registry(name="base_diffusion")
class BaseDiffusion(nn.Module):
    """A backbone: x [N, C, H, W], c_noise [N] and a condition into [N, C, H, W].

    ``base_hidden_dim`` is the width at the image's size, ``hidden_dim`` = base_hidden_dim * 2^blocks_num the width at
    the lowest, image_size / 2^blocks_num: give one of them. ``num_steps`` is the default length of the ``ddpm``
    denoiser's table; the network itself takes any noise level.
    """

    smallest: ClassVar[dict[str, Any]] = {"hidden_dim": 32, "blocks_num": 2}

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        hidden_dim: PositiveInt | None = None,
        base_hidden_dim: PositiveInt | None = None,
        blocks_num: PositiveInt = 3,
        num_steps: PositiveInt = 1000,
    ):
        super().__init__()
        check_image_size(image_size, 2**blocks_num, f"blocks_num {blocks_num}")
        base_dim = first_width(hidden_dim, base_hidden_dim, blocks_num)
        widths = [base_dim * 2**level for level in range(blocks_num + 1)]
        emb_dim = 4 * base_dim
        self.num_steps, self.image_channels, self.multiple = num_steps, image_channels, 2**blocks_num
        self.embedding = NoiseAndLabelEmbedding(base_dim, emb_dim, num_classes)
        self.conv_in = conv3x3(image_channels, base_dim)
        self.encoder = nn.ModuleList(PlainBlock(widths[max(i - 1, 0)], widths[i], emb_dim) for i in range(blocks_num))
        self.middle = PlainBlock(widths[-2], widths[-1], emb_dim)
        self.decoder = nn.ModuleList(
            PlainBlock(widths[i + 1] + widths[i], widths[i], emb_dim) for i in reversed(range(blocks_num))
        )
        self.conv_out = zero_init(conv3x3(base_dim, image_channels))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        """Turn x [N, C, H, W], c_noise [N] and ``cond`` into [N, C, H, W]."""
        check_images(x, self.image_channels, multiple=self.multiple)
        check_rows(c_noise, len(x), "noise numbers")
        emb = self.embedding(c_noise, cond)  # [N, 4 * base_hidden_dim]
        x = self.conv_in(x)
        skips = []
        for block in self.encoder:
            x = block(x, emb)
            skips.append(x)
            x = resample(x, "down")
        x = self.middle(x, emb)  # [N, hidden_dim, H / 2^blocks_num, W / 2^blocks_num]
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            x = block(cat_channels(resample(x, "up"), skip), emb)
        return self.conv_out(x)


def first_width(hidden_dim: int | None, base_hidden_dim: int | None, blocks_num: int) -> int:
    """Return the width at the image's size, from whichever of the two is given. Raises ``ConfigError``."""
    growth = 2**blocks_num
    if hidden_dim is None and base_hidden_dim is None:
        raise ConfigError("hidden_dim (the deepest width) is missing: set it or base_hidden_dim (the first width)")
    if base_hidden_dim is None:
        if hidden_dim % growth or hidden_dim // growth % 2:
            raise ConfigError(
                f"hidden_dim {hidden_dim} is not a multiple of {2 * growth}, as blocks_num {blocks_num} asks"
            )
        return hidden_dim // growth
    if base_hidden_dim % 2:
        raise ConfigError(f"base_hidden_dim must be even, not {base_hidden_dim}")
    if hidden_dim not in (None, base_hidden_dim * growth):
        raise ConfigError(
            f"hidden_dim {hidden_dim} is not base_hidden_dim {base_hidden_dim} * 2^{blocks_num} (blocks_num): give one"
        )
    return base_hidden_dim
