"""Losses of GANs: settings and a formula over one outcome. Logits are float32 and have seen no sigmoid."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.losses.registry import disc_losses_registry, gen_losses_registry
from training.precision import float32_if_fp16
from utils.batch import Condition
from utils.schema import PositiveInt


@dataclass(frozen=True)
class GanOutcome:
    """One move of one player. Penalties run passes of their own through the players."""

    step: int
    real: Tensor  # [N, C, H, W] in [-1, 1]
    fake: Tensor  # [N, C, H, W]
    z: Tensor  # [N, Z] latent
    cond: Condition
    generator: nn.Module
    discriminator: nn.Module
    fake_logits: Tensor  # [N]
    real_logits: Tensor | None = None  # [N]; None on the generator's move


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
class HingeGen:
    """-D(G(z)) (Lim & Ye 2017, Geometric GAN)."""

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return -outcome.fake_logits.mean()


@disc_losses_registry.add_to_registry(name="hinge_disc")
class HingeDisc:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (Lim & Ye 2017; Miyato et al. 2018, equation 16)."""

    def __call__(self, outcome: GanOutcome) -> Tensor:
        return F.relu(1 - outcome.real_logits).mean() + F.relu(1 + outcome.fake_logits).mean()


@disc_losses_registry.add_to_registry(name="r1")
class R1:
    """Half the squared gradient of D at real images (Mescheder et al. 2018, equation 9); the coefficient is gamma.

    ``interval``: lazy regularisation (Karras et al. 2020, section 3.1), computed every so many steps and weighted so
    much more.
    """

    def __init__(self, interval: PositiveInt = 1):
        self.interval = interval

    def __call__(self, outcome: GanOutcome) -> Tensor | None:
        if outcome.step % self.interval:
            return None
        penalty = squared_gradient(outcome.discriminator, outcome.real, outcome.cond).mean() / 2
        return penalty * self.interval


def logits_of(discriminator: nn.Module, images: Tensor, cond: Condition) -> Tensor:
    """Return D(x), float32 [N]: computed in bf16 under bf16, but in float32 where the rest is fp16."""
    with float32_if_fp16(images.device.type):
        return discriminator(images, cond).float()


def squared_gradient(discriminator: nn.Module, images: Tensor, cond: Condition) -> Tensor:
    """Return |grad_x D(x)|^2, [N], through which gradients flow back to the discriminator's weights."""
    images = images.detach().requires_grad_(True)
    with float32_if_fp16(images.device.type):
        logits = logits_of(discriminator, images, cond)
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3))
