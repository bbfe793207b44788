"""Outcomes of a GAN's move whose numbers are known: discriminators that are formulas."""

from typing import Any

import torch
from torch import Tensor, nn

from training.losses.gan import GanOutcome
from utils.batch import Condition


class Value(nn.Module):
    """D(x) = x, for images of one pixel."""

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        return x.flatten()


class Quadratic(nn.Module):
    """D(x) = 0.5 x^T A x with a symmetric A; its gradient at x is A x."""

    def __init__(self, size: int):
        super().__init__()
        a = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        self.a = nn.Parameter(a + a.T)

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        flat = x.flatten(1)
        return 0.5 * ((flat @ self.a) * flat).sum(1)


def outcome(real: Tensor, fake: Tensor, discriminator: nn.Module, **others: Any) -> GanOutcome:
    """The discriminator's move on these images; ``others`` replaces fields."""
    fields = {"step": 0, "progress": 0.0, "z": torch.zeros(len(real), 1), "cond": Condition(), "generator": Value()}
    fields["rand"] = lambda purpose: torch.full((len(real),), 0.25, dtype=real.dtype)
    fields["randn"] = lambda purpose, shape: torch.ones(len(real), *shape, dtype=real.dtype)
    leaves = [images.clone().requires_grad_(True) for images in (real, fake)]
    return GanOutcome(real=leaves[0], fake=leaves[1], discriminator=discriminator, **{**fields, **others})


def with_logits(on_real: list[float], on_fake: list[float], **others: Any) -> GanOutcome:
    """An outcome in which the discriminator says these numbers."""
    real, fake = (torch.tensor(logits).view(-1, 1, 1, 1) for logits in (on_real, on_fake))
    return outcome(real, fake, Value(), **others)


def quadratic(**others: Any) -> tuple[GanOutcome, Quadratic, Tensor, Tensor]:
    """Five real and five generated images of 12 numbers before a quadratic form; the images as rows."""
    disc, rng = Quadratic(12), torch.Generator().manual_seed(1)
    real, fake = (torch.randn(5, 3, 2, 2, dtype=torch.float64, generator=rng) for _ in range(2))
    return outcome(real, fake, disc, **others), disc, real.flatten(1), fake.flatten(1)
