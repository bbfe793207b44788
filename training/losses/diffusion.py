"""Losses of diffusion models: settings and a formula over one outcome."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from models.diffusion.denoisers import Prediction
from sampling.chain import Steps, bits_per_dim
from training.levels import TrainingLevels
from training.losses.registry import losses_registry
from utils.batch import Condition
from utils.errors import ConfigError
from utils.schema import PositiveFloat


@dataclass(frozen=True)
class DiffusionOutcome:
    """One noisy batch and what the denoiser made of it; the noisy images are clean + sigma * noise."""

    clean: Tensor  # [N, C, H, W] images in [-1, 1], or latents of unit variance
    noise: Tensor  # [N, C, H, W] standard normal
    sigma: Tensor  # [N] noise level
    weight: Tensor  # [N] the levels' weight
    target: Tensor  # [N, C, H, W] what prediction.output should be
    prediction: Prediction
    cond: Condition
    steps: Steps | None = None  # [N] of a chain: those that lead down from sigma; None: levels are continuous

    @cached_property
    def bound(self) -> Tensor:  # [N] each image's term of the bound on its -log2 p, in bits per dimension
        return self.bound_with(self.prediction.denoised)

    def bound_with(self, denoised: Tensor) -> Tensor:
        learned = self.prediction.variance_fraction
        return bits_per_dim(self.steps, self.clean, denoised, 0.0 if learned is None else learned)


class Demanding(ABC):
    """A loss that not every denoiser, or not all levels, can serve."""

    @abstractmethod
    def check(self, denoiser: nn.Module, levels: TrainingLevels) -> None:
        """Raise :class:`ConfigError` where they cannot."""


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

    weighted = True  # each image's loss by its weight

    def __call__(self, outcome: DiffusionOutcome) -> Tensor:
        return (outcome.weight * squared_error(outcome)).mean()


@losses_registry.add_to_registry(name="edm_uncertainty")
class EDMUncertainty(Demanding):
    """The EDM loss divided by how large the network expects it to be at each noise level, exp(u(sigma)), plus u.

    Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 2.1: every noise
    level then pulls equally hard, without a weight tuned by hand. Needs a denoiser that predicts u, by its module
    ``uncertainty``.
    """

    def check(self, denoiser: nn.Module, levels: TrainingLevels) -> None:
        if getattr(denoiser, "uncertainty", None) is None:
            asks = "train.denoiser=edm with denoiser_args.uncertainty_channels=64"
            raise ConfigError(f"edm_uncertainty needs a denoiser that predicts it: {asks}")

    def __call__(self, outcome: DiffusionOutcome) -> Tensor:
        u = outcome.prediction.log_uncertainty  # [N]
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


@losses_registry.add_to_registry(name="vlb")
class VLB(Demanding):
    """The variational bound on -log2 p(image) in bits per dimension, less the prior's part, which nothing can change.

    L_vlb of Nichol and Dhariwal 2021, equation 4: T times the mean over the steps, of which each image shows one. It is
    noisy, so ``train.levels=importance`` draws the steps by the size of their terms. Where no variance is learned it is
    beta-tilde, and this is L of Ho et al. 2020, equation 5.
    """

    weighted = True

    def check(self, denoiser: nn.Module, levels: TrainingLevels) -> None:
        if levels.steps is None:
            raise ConfigError("vlb and vlb_variance need steps of a table: train.levels=table and train.denoiser=iddpm")

    def __call__(self, outcome: DiffusionOutcome) -> Tensor:
        return outcome.steps.count * (outcome.weight * outcome.bound).mean()


@losses_registry.add_to_registry(name="vlb_variance")
class VLBVariance(VLB):
    """``vlb`` with the mean held fixed: it teaches the variance alone.

    Beside ``mse`` with the paper's coefficient it is L_hybrid = L_simple + 0.001 L_vlb (Nichol and Dhariwal 2021,
    equation 16): ``losses_coef: {mse: 1.0, vlb_variance: 0.001}``.
    """

    def check(self, denoiser: nn.Module, levels: TrainingLevels) -> None:
        super().check(denoiser, levels)
        if denoiser.outputs < 2:
            raise ConfigError("vlb_variance needs a network that learns the variance: train.denoiser=iddpm")

    def __call__(self, outcome: DiffusionOutcome) -> Tensor:
        bound = outcome.bound_with(outcome.prediction.denoised.detach())
        return outcome.steps.count * (outcome.weight * bound).mean()


def squared_error(outcome: DiffusionOutcome) -> Tensor:
    """Return the mean over pixels of |D - clean|^2, [N]."""
    return (outcome.prediction.denoised - outcome.clean).square().mean(dim=(1, 2, 3))
