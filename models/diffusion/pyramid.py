"""What U-Nets share: down through falling resolutions, and up again with a skip connection for every stage.

Which blocks and which attention they are made of, and which ways lead from one resolution to the next, a network says
(``unet.py``, ``songunet.py``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from models.layers.blocks import Stage, cat_channels
from models.layers.checks import check_image_size
from utils.errors import ConfigError


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


@dataclass(frozen=True)
class Parts:
    """What the levels of a network are made of, by channels."""

    block: Callable[[int, int], nn.Module]  # in, out
    attention: Callable[[int], nn.Module]
    down: Callable[[int], nn.Module]
    up: Callable[[int], nn.Module]

    def stage(self, in_channels: int, out_channels: int, attends: bool) -> Stage:
        return Stage(self.block(in_channels, out_channels), self.attention(out_channels) if attends else None)

    def middle(self, width: int) -> nn.ModuleList:
        """Build the stages of the lowest resolution; the first attends."""
        return nn.ModuleList([self.stage(width, width, attends) for attends in (True, False)])

    def encoder(self, first_width: int, widths: list[int], attends: Sequence[Sequence[bool]]) -> nn.ModuleList:
        """Build the way down. ``attends``: for each resolution, from the image's down, which of its stages do."""
        levels, before = nn.ModuleList(), first_width
        for width, its_attends in zip(widths, attends, strict=True):
            down = self.down(width) if len(levels) < len(widths) - 1 else None
            in_widths = [before] + [width] * (len(its_attends) - 1)
            levels.append(EncoderLevel([self.stage(w, width, a) for w, a in zip(in_widths, its_attends)], down))
            before = width
        return levels

    def decoder(self, first_width: int, widths: list[int], attends: Sequence[Sequence[bool]]) -> nn.ModuleList:
        """Build the way up, lowest resolution first: a stage for every skip connection, one more than going down."""
        levels, x_width = nn.ModuleList(), widths[-1]
        skip_widths = [first_width, *(width for width, stages in zip(widths, attends) for _ in stages)]
        skip_widths.pop()  # nothing leads down from the lowest resolution
        for level in reversed(range(len(widths))):
            stages = []
            for its_attends in attends[level]:
                stages.append(self.stage(x_width + skip_widths.pop(), widths[level], its_attends))
                x_width = widths[level]
            levels.append(DecoderLevel(stages, self.up(x_width) if level else None))
        return levels


def down_and_up(network: nn.Module, x: Tensor, emb: Tensor, context: Tensor | None = None) -> Tensor:
    """Turn x [N, C, H, W] into features of that size by ``encoder``, ``middle`` and ``decoder`` of a network.

    ``emb`` [N, emb_dim] goes to every block, ``context`` [N, T, D] to attention that looks at one.
    """
    skips = [x]
    for level in network.encoder:
        skips += level(skips[-1], emb, context)
    x = skips[-1]  # the lowest resolution
    for stage in network.middle:
        x = stage(x, emb, context)
    for level in network.decoder:
        taken = len(skips) - len(level.stages)
        x = level(x, skips[taken:], emb, context)
        skips = skips[:taken]
    return x


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
