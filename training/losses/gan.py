"""Losses of GANs: settings and a formula over one outcome. Logits are float32 and have seen no sigmoid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn
from torch.nn import functional as F

from training.losses.registry import disc_losses_registry, gen_losses_registry
from training.precision import float32_if_fp16
from utils.batch import Condition

Augment = Callable[[Tensor, str], Tensor]


def unchanged(images: Tensor, which: str) -> Tensor:
    return images


@dataclass(frozen=True)
class GanOutcome:
    """One move of one player. Penalties run passes of their own through the players where they need other images.

    What the discriminator says is computed when a loss first asks for it, and kept: who asks for nothing pays nothing.
    """

    step: int  # updates that this player has taken
    progress: float  # of the run, in [0, 1)
    real: Tensor  # [N, C, H, W] in [-1, 1]; on the discriminator's move these two require a gradient, for penalties
    fake: Tensor  # [N, C, H, W], of the same labels
    z: Tensor  # [N, Z] latent
    cond: Condition
    generator: nn.Module  # bare: only ``fake`` came through what averages gradients, and through compiled code
    discriminator: nn.Module
    rand: Callable[[str], Tensor]  # by purpose, a uniform number in [0, 1) for each image, [N]
    randn: Callable[[str, Sequence[int]], Tensor]  # by purpose and shape, standard normal numbers [N, *shape]
    augment: Augment = unchanged  # images, and "real" or "fake", to what the discriminator is shown of them

    @cached_property
    def shown_real(self) -> Tensor:
        return self.augment(self.real, "real")

    @cached_property
    def shown_fake(self) -> Tensor:
        return self.augment(self.fake, "fake")

    @cached_property
    def real_logits(self) -> Tensor:  # [N]
        return logits_of(self.discriminator, self.shown_real, self.cond)

    @cached_property
    def fake_logits(self) -> Tensor:  # [N]
        return logits_of(self.discriminator, self.shown_fake, self.cond)


def logits_of(discriminator: nn.Module, images: Tensor, cond: Condition) -> Tensor:
    """Return D(x), float32 [N]: computed in bf16 under bf16, but in float32 where the rest is fp16."""
    with float32_if_fp16(images.device.type):
        return discriminator(images, cond).float()


@gen_losses_registry.add_to_registry(name="softplus_gen")
class SoftplusGen:
    """Non-saturating loss, -log sigmoid(D(G(z))) (Goodfellow et al. 2014, section 3)."""

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return F.softplus(-outcome.fake_logits).mean()


@disc_losses_registry.add_to_registry(name="softplus_disc")
class SoftplusDisc:
    """-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))) (Goodfellow et al. 2014, equation 1)."""

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return F.softplus(-outcome.real_logits).mean() + F.softplus(outcome.fake_logits).mean()


@gen_losses_registry.add_to_registry(name="hinge_gen")
@gen_losses_registry.add_to_registry(name="wasserstein_gen")
class NegativeLogit:
    """-D(G(z)), beside the hinge loss (Lim & Ye 2017, Geometric GAN) and Wasserstein's (Arjovsky et al. 2017)."""

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return -outcome.fake_logits.mean()


@disc_losses_registry.add_to_registry(name="hinge_disc")
class HingeDisc:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (Lim & Ye 2017; Miyato et al. 2018, equation 16)."""

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return F.relu(1 - outcome.real_logits).mean() + F.relu(1 + outcome.fake_logits).mean()


@gen_losses_registry.add_to_registry(name="least_squares_gen")
class LeastSquaresGen:
    """(D(G(z)) - 1)^2 / 2 (Mao et al. 2017, equation 9)."""

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return (outcome.fake_logits - 1).square().mean() / 2


@disc_losses_registry.add_to_registry(name="least_squares_disc")
class LeastSquaresDisc:
    """(D(x) - 1)^2 / 2 + D(G(z))^2 / 2 (Mao et al. 2017, equation 9)."""

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return (outcome.real_logits - 1).square().mean() / 2 + outcome.fake_logits.square().mean() / 2


@disc_losses_registry.add_to_registry(name="wasserstein_disc")
class WassersteinDisc:
    """D(G(z)) - D(x) (Arjovsky et al. 2017, algorithm 1); to be used with ``gradient_penalty``."""

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return outcome.fake_logits.mean() - outcome.real_logits.mean()


@gen_losses_registry.add_to_registry(name="relativistic_gen")
class RelativisticGen:
    """-log sigmoid(D(G(z)) - D(x)), a generated image against a real one of its label.

    The pairing loss of Jolicoeur-Martineau 2020, in Huang et al. 2024, equation 2, with their softplus.
    """

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return F.softplus(outcome.real_logits - outcome.fake_logits).mean()


@disc_losses_registry.add_to_registry(name="relativistic_disc")
class RelativisticDisc:
    """-log sigmoid(D(x) - D(G(z))), a real image against a generated one of its label: see ``relativistic_gen``."""

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return F.softplus(outcome.fake_logits - outcome.real_logits).mean()
