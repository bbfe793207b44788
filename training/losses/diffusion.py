"""Losses of diffusion models: settings and a formula over one outcome."""

from dataclasses import dataclass

from torch import Tensor

from models.diffusion.denoisers import Prediction
from training.losses.registry import losses_registry
from utils.batch import Condition


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
        error = (outcome.prediction.denoised - outcome.clean).square().mean(dim=(1, 2, 3))
        return (outcome.weight * error).mean()
