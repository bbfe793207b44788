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
        # The inverse of the normal distribution turns a uniform number into a normal one; open ends stay finite.
        normal = torch.special.ndtri(draw("level").double().clamp(1e-9, 1 - 1e-9))
        sigma = (normal * self.p_std + self.p_mean).exp()
        weight = (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2
        return Levels(sigma.float(), weight.float())
