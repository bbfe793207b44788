"""Losses of diffusion models: settings and a formula over one outcome."""

from dataclasses import dataclass

from torch import Tensor

from models.diffusion.denoisers import Prediction
from training.losses.registry import losses_registry
from utils.batch import Condition
from utils.errors import ConfigError
from utils.schema import PositiveFloat


@dataclass(frozen=True)
class DiffusionOutcome:
    """One noisy batch and what the denoiser made of it; the noisy images are clean + sigma * noise."""

    clean: Tensor  # [N, C, H, W] in [-1, 1]
    noise: Tensor  # [N, C, H, W] standard normal
    sigma: Tensor  # [N] noise level
    weight: Tensor  # [N] the levels' weight
    target: Tensor  # [N, C, H, W] what prediction.output should be
    prediction: Prediction
    cond: Condition


@losses_registry.add_to_registry(name="mse")
class MSE:
    """Mean squared error of the network's own output; under ``ddpm`` the real noise against the predicted noise.

    L_simple of Ho et al. 2020, equation 14.
    """

    def __call__(self, outcome: DiffusionOutcome) -> Tensor:
        return (outcome.prediction.output - outcome.target).square().mean()


@losses_registry.add_to_registry(name="edm")
class EDM:
    """Weighted squared error of the denoised image, lambda(sigma) |D - clean|^2 (Karras et al. 2022, eq. 2 and 8)."""

    def __call__(self, outcome: DiffusionOutcome) -> Tensor:
        return (outcome.weight * squared_error(outcome)).mean()


@losses_registry.add_to_registry(name="edm_uncertainty")
class EDMUncertainty:
    """The EDM loss divided by how large the network expects it to be at each noise level, exp(u(sigma)), plus u.

    Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 2.1: every noise
    level then pulls equally hard, without a weight tuned by hand. Needs a denoiser that predicts u.
    """

    def __call__(self, outcome: DiffusionOutcome) -> Tensor:
        u = outcome.prediction.log_uncertainty  # [N]
        if u is None:
            raise ConfigError(
                "edm_uncertainty needs a denoiser that predicts it: denoiser_args.uncertainty_channels=64"
            )
        return (outcome.weight * squared_error(outcome) / u.exp() + u).mean()


@losses_registry.add_to_registry(name="min_snr")
class MinSNR:
    """min(SNR, gamma) |D - clean|^2 with SNR = 1 / sigma^2 (Hang et al. 2023, "Efficient Diffusion Training via Min-SNR
    Weighting Strategy", section 3.4), whatever the network predicts."""

    def __init__(self, gamma: PositiveFloat = 5.0):
        self.gamma = gamma

    def __call__(self, outcome: DiffusionOutcome) -> Tensor:
        weight = outcome.sigma.pow(-2).clamp(max=self.gamma)  # [N]
        return (weight * squared_error(outcome)).mean()


def squared_error(outcome: DiffusionOutcome) -> Tensor:
    """Return the mean over pixels of |D - clean|^2, [N]."""
    return (outcome.prediction.denoised - outcome.clean).square().mean(dim=(1, 2, 3))
