"""Losses of autoencoders: settings and a formula over one outcome."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from models.autoencoders.base import Posterior
from training.losses.registry import autoencoder_losses_registry
from utils.errors import ConfigError


@dataclass(frozen=True)
class AutoencoderOutcome:
    """One batch and what was read back of it."""

    images: Tensor  # [N, C, H, W] in [-1, 1]
    reconstructed: Tensor  # [N, C, H, W] float32
    posterior: Posterior


@autoencoder_losses_registry.add_to_registry(name="l1")
class L1:
    """Mean absolute difference: what is left is sharper than with the square (Isola et al. 2017, section 3.1)."""

    def __call__(self, outcome: AutoencoderOutcome) -> Tensor:
        return F.l1_loss(outcome.reconstructed, outcome.images)


@autoencoder_losses_registry.add_to_registry(name="l2")
class L2:
    """Mean squared difference."""

    def __call__(self, outcome: AutoencoderOutcome) -> Tensor:
        return F.mse_loss(outcome.reconstructed, outcome.images)


@autoencoder_losses_registry.add_to_registry(name="kl")
class KL:
    """KL(q(z | x) || N(0, 1)), in nats for each number of an image (Kingma & Welling 2014, appendix B).

    Rombach et al. 2022 (appendix G, weight 1e-6) sum both this and the reconstruction's error over an image; here both
    are means over its numbers, so that the weight means the same.
    """

    def check(self, posterior: Posterior) -> None:
        """Raise :class:`ConfigError` for one of an autoencoder that draws no latents."""
        if posterior.log_variance is None:
            raise ConfigError("losses_coef.kl: this autoencoder draws no latents, it has no posterior: remove it")

    def __call__(self, outcome: AutoencoderOutcome) -> Tensor:
        mean, log_variance = outcome.posterior.mean, outcome.posterior.log_variance
        nats = (mean.square() + log_variance.exp() - 1 - log_variance) / 2  # [N, c, h, w]
        return nats.sum() / outcome.images.numel()
