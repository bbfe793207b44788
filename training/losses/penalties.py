"""Penalties on the slope of a discriminator. The slope is taken at what it is shown, so after augmentation."""

from abc import abstractmethod

import torch
from torch import Tensor

from training.losses.builder import Scaled
from training.losses.gan import GanOutcome, logits_of
from training.losses.registry import disc_losses_registry
from training.precision import float32_if_fp16
from training.schedules import Cosine
from utils.schema import Fraction, PositiveInt


def slope(logits: Tensor, images: Tensor) -> Tensor:
    """Return grad_x D(x), float32 [N, C * H * W], through which gradients flow back to the discriminator's weights."""
    with float32_if_fp16(images.device.type):
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.float().flatten(1)


class Penalty(Scaled):
    """A penalty whose coefficient is gamma (lambda) at the start of the run.

    ``interval``: lazy regularisation (Karras et al. 2020, section 3.1), computed every so many updates and weighted so
    much more. It is added to that update's loss: Adam takes no step more than without it, so unlike the authors' code,
    where it is a step of its own, nothing is made up for in the learning rate and the betas. ``final``, ``until``: the
    coefficient falls along half a cosine and is ``final`` of what it was from the share ``until`` of the run on (Huang
    et al. 2024, appendix). The log shows the plain penalty, without coefficient, interval and share.
    """

    def __init__(self, interval: PositiveInt = 1, final: Fraction = 1.0, until: Fraction = 1.0):
        self.interval, self.share = interval, Cosine(final=final, until=until)

    def __call__(self, outcome: GanOutcome) -> Tensor | None:
        return None if outcome.step % self.interval else self.penalty(outcome)

    def factor(self, outcome: GanOutcome) -> float:
        return self.interval * self.share(outcome.progress)

    @abstractmethod
    def penalty(self, outcome: GanOutcome) -> Tensor:
        """Return the penalty of one update, a number."""


@disc_losses_registry.add_to_registry(name="r1")
class R1(Penalty):
    """Half the squared gradient of D at real images (Mescheder et al. 2018, equation 9)."""

    def penalty(self, outcome: GanOutcome) -> Tensor:
        return slope(outcome.real_logits, outcome.shown_real).square().sum(dim=1).mean() / 2


@disc_losses_registry.add_to_registry(name="r2")
class R2(Penalty):
    """Half the squared gradient of D at generated images (Mescheder et al. 2018, equation 10)."""

    def penalty(self, outcome: GanOutcome) -> Tensor:
        return slope(outcome.fake_logits, outcome.shown_fake).square().sum(dim=1).mean() / 2


@disc_losses_registry.add_to_registry(name="gradient_penalty")
class GradientPenalty(Penalty):
    """(|grad D| - 1)^2 at random points between a real and a generated image (Gulrajani et al. 2017, equation 3)."""

    def penalty(self, outcome: GanOutcome) -> Tensor:
        epsilon = outcome.rand("gradient_penalty")[:, None, None, None]  # [N, 1, 1, 1]
        between = outcome.shown_fake.detach().lerp(outcome.shown_real.detach(), epsilon).requires_grad_(True)
        gradient = slope(logits_of(outcome.discriminator, between, outcome.cond), between)
        return (torch.linalg.vector_norm(gradient, dim=1) - 1).square().mean()
