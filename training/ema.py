"""The moving average of a network's weights: what validation and inference use."""

from copy import deepcopy

import torch
from torch import nn

from training.registry import ema_registry
from utils.schema import NonNegativeFloat, PositiveFloat


@ema_registry.add_to_registry(name="halflife")
class HalflifeEma:
    """Exponential moving average whose memory is measured in images (Karras et al. 2022, EDM's training loop).

    ``halflife``: images after which a weight counts half. Early in the run it is at most ``rampup`` of the images
    seen so far (0: no such limit), so that the average forgets the initial weights.
    """

    def __init__(self, network: nn.Module, halflife: PositiveFloat = 500_000, rampup: NonNegativeFloat = 0.05):
        self.halflife, self.rampup = halflife, rampup
        self.module = deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, batch_size: int, images_seen: int) -> None:
        """Move the average towards ``network`` after a step on ``batch_size`` images, the last of ``images_seen``."""
        halflife = min(self.halflife, images_seen * self.rampup) if self.rampup else self.halflife
        beta = 0.5 ** (batch_size / max(halflife, 1e-8))
        torch._foreach_lerp_(list(self.module.parameters()), list(network.parameters()), 1 - beta)
        for average, buffer in zip(self.module.buffers(), network.buffers(), strict=True):
            average.copy_(buffer)


@ema_registry.add_to_registry(name="none")
class NoEma:
    """The last weights as they are."""

    def __init__(self, network: nn.Module):
        self.module = deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, batch_size: int, images_seen: int) -> None:
        """Copy ``network``."""
        self.module.load_state_dict(network.state_dict())
