"""The moving average of a network's weights: what validation and inference use."""

from abc import ABC, abstractmethod
from copy import deepcopy

import torch
from torch import nn

from training.posthoc_ema import gamma_of
from training.registry import ema_registry
from utils.errors import ConfigError
from utils.schema import NonNegativeFloat, PositiveFloat


class Ema(ABC):
    """An average of a network's weights; ``module`` holds it, in eval mode, and no gradient reaches it."""

    shorter = "choose another train.ema"  # what to do about an average that remembers too long

    def __init__(self, network: nn.Module):
        self.module = averaged_copy(network)

    @abstractmethod
    def update(self, network: nn.Module, batch_size: int, images_seen: int) -> None:
        """Move the average after a step on ``batch_size`` images, the last of ``images_seen``."""

    def others(self) -> dict[str, nn.Module]:
        """Return further averages by name: they go into every checkpoint."""
        return {}

    def snapshots(self) -> dict[float, nn.Module]:
        """Return averages by width: they are kept, for good, beside every checkpoint."""
        return {}


def averaged_copy(network: nn.Module) -> nn.Module:
    return deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def move(average: nn.Module, network: nn.Module, beta: float) -> None:
    """Set the average to beta * average + (1 - beta) * network; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - beta)
    for ours, theirs in zip(average.buffers(), network.buffers(), strict=True):
        ours.copy_(theirs)


@torch.no_grad()
def relative_distance(average: nn.Module, network: nn.Module) -> float:
    """Return |average - network| / |network| over all parameters."""
    pairs = list(zip(average.parameters(), network.parameters(), strict=True))
    away = torch.stack([(a - b).square().sum() for a, b in pairs]).sum().sqrt()
    length = torch.stack([b.square().sum() for _, b in pairs]).sum().sqrt()
    return (away / length.clamp_min(1e-12)).item()


@ema_registry.add_to_registry(name="halflife")
class HalflifeEma(Ema):
    """Exponential moving average whose memory is measured in images (Karras et al. 2022, EDM's training loop).

    ``halflife``: images after which a weight counts half. Early in the run it is at most ``rampup`` of the images
    seen so far (0: no such limit), so that the average forgets the initial weights.
    """

    shorter = "lower ema_args.halflife"

    def __init__(self, network: nn.Module, halflife: PositiveFloat = 500_000, rampup: NonNegativeFloat = 0.05):
        super().__init__(network)
        self.halflife, self.rampup = halflife, rampup

    def update(self, network: nn.Module, batch_size: int, images_seen: int) -> None:
        halflife = min(self.halflife, images_seen * self.rampup) if self.rampup else self.halflife
        move(self.module, network, beta=0.5 ** (batch_size / max(halflife, 1e-8)))


@ema_registry.add_to_registry(name="power")
class PowerEma(Ema):
    """Averages whose memory grows with the run (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of
    Diffusion Models", section 3.1).

    A weight of time tau counts tau^gamma: the older, the less. ``widths`` are the standard deviations of these
    profiles as shares of the run (sigma_rel); validation uses the first. Every checkpoint leaves a snapshot of each
    in the run folder, and from about twenty of them any other width can be put together afterwards
    (``inference.ema_width``): no second training to choose it.
    """

    shorter = "put a smaller width first in ema_args.widths"

    def __init__(self, network: nn.Module, widths: list[PositiveFloat] = [0.05, 0.10]):  # noqa: B006 (only read)
        if len(set(widths)) != len(widths) or not widths:
            raise ConfigError(f"widths must be one or more different numbers, not {widths}")
        super().__init__(network)
        self.gammas = [gamma_of(width) for width in widths]
        self.averages = {widths[0]: self.module} | {width: averaged_copy(network) for width in widths[1:]}

    def update(self, network: nn.Module, batch_size: int, images_seen: int) -> None:
        for gamma, average in zip(self.gammas, self.averages.values(), strict=True):
            move(average, network, beta=(1 - batch_size / images_seen) ** (gamma + 1))

    def others(self) -> dict[str, nn.Module]:
        return {f"width {width:g}": average for width, average in self.averages.items() if average is not self.module}

    def snapshots(self) -> dict[float, nn.Module]:
        return dict(self.averages)


@ema_registry.add_to_registry(name="none")
class NoEma(Ema):
    """The last weights as they are."""

    @torch.no_grad()
    def update(self, network: nn.Module, batch_size: int, images_seen: int) -> None:
        self.module.load_state_dict(network.state_dict())
