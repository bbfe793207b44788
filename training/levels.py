"""Which noise levels training visits, and what each weighs: ``(draw) -> Levels(sigma, weight)``.

``draw(purpose)`` gives one uniform random number in [0, 1) for each image of the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.registry import levels_registry
from utils.errors import ConfigError
from utils.schema import PositiveFloat


@dataclass(frozen=True)
class Levels:
    sigma: Tensor  # [N] noise level
    weight: Tensor  # [N] factor of each image's loss


@levels_registry.add_to_registry(name="table")
class TableLevels:
    """Every level of the denoiser's own table equally often, with equal weight (Ho et al. 2020, Algorithm 1)."""

    def __init__(self, denoiser: nn.Module):
        if getattr(denoiser, "table", None) is None:
            raise ConfigError(
                "'table' needs a denoiser that has one: use train.levels=lognormal or train.denoiser=ddpm"
            )
        self.denoiser = denoiser

    def __call__(self, draw: Callable[[str], Tensor]) -> Levels:
        table = self.denoiser.table
        index = (draw("level") * len(table)).long().clamp_(max=len(table) - 1)
        sigma = table[index].float()
        return Levels(sigma, torch.ones_like(sigma))


@levels_registry.add_to_registry(name="lognormal")
class LogNormalLevels:
    """ln(sigma) ~ N(p_mean, p_std^2), weighted so that every level counts alike (Karras et al. 2022, Table 1)."""

    def __init__(self, denoiser: nn.Module, p_mean: float = -1.2, p_std: PositiveFloat = 1.2):
        self.p_mean, self.p_std = p_mean, p_std
        self.sigma_data = getattr(denoiser, "sigma_data", 0.5)

    def __call__(self, draw: Callable[[str], Tensor]) -> Levels:
        sigma = (normal_from(draw("level")) * self.p_std + self.p_mean).exp()
        weight = (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2
        return Levels(sigma.float(), weight.float())


@levels_registry.add_to_registry(name="logit_normal")
class LogitNormalLevels:
    """logit(t) ~ N(mean, std^2) of a flow's time t = sigma / (1 + sigma), with equal weight.

    Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", section 3.1. As
    logit(t) = ln(sigma), these are a log-normal's levels, but not its weights.
    """

    def __init__(self, denoiser: nn.Module, mean: float = 0.0, std: PositiveFloat = 1.0):
        self.mean, self.std = mean, std
        self.sigma_min, self.sigma_max = denoiser.sigma_min, denoiser.sigma_max

    def __call__(self, draw: Callable[[str], Tensor]) -> Levels:
        sigma = (normal_from(draw("level")) * self.std + self.mean).exp().clamp(self.sigma_min, self.sigma_max).float()
        return Levels(sigma, torch.ones_like(sigma))


@levels_registry.add_to_registry(name="uniform_time")
class UniformTimeLevels:
    """A flow's time t = sigma / (1 + sigma) uniform over the denoiser's range, with equal weight (Liu et al. 2022)."""

    def __init__(self, denoiser: nn.Module):
        self.t_min, self.t_max = (s / (1 + s) for s in (denoiser.sigma_min, denoiser.sigma_max))

    def __call__(self, draw: Callable[[str], Tensor]) -> Levels:
        t = self.t_min + (self.t_max - self.t_min) * draw("level").double()
        sigma = (t / (1 - t)).float()
        return Levels(sigma, torch.ones_like(sigma))


def normal_from(uniform: Tensor) -> Tensor:
    """Turn uniform numbers into standard normal ones, float64, by the inverse distribution; open ends stay finite."""
    return torch.special.ndtri(uniform.double().clamp(1e-9, 1 - 1e-9))
