"""Which noise levels training visits, and what each weighs: ``(draw) -> Levels(sigma, weight)``.

``draw(purpose)`` gives one uniform random number in [0, 1) for each image of the batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sampling.chain import Steps, steps_of
from training.registry import levels_registry
from utils.distributed import gather_rows
from utils.errors import ConfigError
from utils.schema import Fraction, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class Levels:
    sigma: Tensor  # [N] noise level
    weight: Tensor  # [N] factor of each image's loss
    steps: Steps | None = None  # [N] of a chain: those that lead down from sigma; None: levels are continuous


class TrainingLevels(nn.Module, ABC):
    """What all levels share: how they are drawn, and that they may learn from what they led to.

    A module, so that what one learns, in its buffers, lies on its device and goes into every checkpoint.
    """

    steps: Steps | None = None  # all of the chain, if there is one
    needs_weights: ClassVar[bool] = False  # the loss must multiply each image's by its weight

    @abstractmethod
    def forward(self, draw: Callable[[str], Tensor]) -> Levels:
        """Draw a level for every image."""

    def learn(self, outcome: Any, last: bool) -> None:
        """Look at a micro-batch's outcome; ``last``: of the step."""


@levels_registry.add_to_registry(name="table")
class TableLevels(TrainingLevels):
    """Every level of the denoiser's own table equally often, with equal weight (Ho et al. 2020, Algorithm 1)."""

    def __init__(self, denoiser: nn.Module):
        super().__init__()
        if getattr(denoiser, "table", None) is None:
            raise ConfigError(
                "these levels need a denoiser with a table: use train.levels=lognormal or train.denoiser=ddpm"
            )
        self.register_buffer("table", denoiser.table, persistent=False)

    @property
    def steps(self) -> Steps:
        return steps_of(self.table)

    def forward(self, draw: Callable[[str], Tensor]) -> Levels:
        index = (draw("level") * len(self.table)).long().clamp_(max=len(self.table) - 1)
        sigma = self.table[index].float()
        return Levels(sigma, torch.ones_like(sigma), self.steps.at(index))


@levels_registry.add_to_registry(name="importance")
class ImportanceLevels(TableLevels):
    """Levels of the table in proportion to sqrt(E[L_t^2]), weighted so that the bound's estimate stays unbiased.

    Nichol and Dhariwal 2021, section 3.3 and equation 18: E[L_t^2] is the mean over the last ``history`` values of each
    term of the bound; until each has so many, all come equally often. A share ``uniform`` of the draws stays so, as in
    the authors' code, which keeps the weights bounded. The memory is a function of the run's global batches, whoever
    computed them; it stays on the device, and nothing waits for it.
    """

    needs_weights = True

    def __init__(self, denoiser: nn.Module, history: PositiveInt = 10, uniform: Fraction = 0.001):
        super().__init__(denoiser)
        self.uniform = uniform
        self.register_buffer("memory", self.table.new_zeros(len(self.table), history))  # [T, history] latest terms
        self.register_buffer("counts", torch.zeros_like(self.table, dtype=torch.int64))  # [T] terms seen so far
        self.fresh: list[tuple[Tensor, Tensor]] = []  # of this optimizer step: which steps [n], their terms [n]

    def probabilities(self) -> Tensor:
        """Return how often each step comes, float64 [T]."""
        size = self.memory.double().square().mean(dim=1).sqrt()
        even = torch.full_like(size, 1 / len(size))
        learnt = (1 - self.uniform) * size / size.sum() + self.uniform * even
        return torch.where((self.counts >= self.memory.shape[1]).all(), learnt, even)

    def forward(self, draw: Callable[[str], Tensor]) -> Levels:
        p = self.probabilities()
        index = torch.searchsorted(p.cumsum(0), draw("level").double(), right=True).clamp_(max=len(p) - 1)
        weight = 1 / (len(p) * p[index])
        return Levels(self.table[index], weight.float(), self.steps.at(index))

    def learn(self, outcome: Any, last: bool) -> None:
        """Keep the terms of the bound; after the last micro-batch, remember those of all processes.

        For a term that is no number, whose step is left out, it remembers the mean of what it knows.
        """
        index, terms = outcome.steps.index, outcome.bound.detach()
        self.fresh.append((index, torch.where(terms.isfinite(), terms, self.memory[index].mean(dim=1))))
        if last:
            index, terms = (gather_rows(torch.cat(parts)) for parts in zip(*self.fresh))
            self.remember(index, terms)
            self.fresh = []

    def remember(self, index: Tensor, terms: Tensor) -> None:
        """Push terms [B] of steps ``index`` [B] into the memory, one after the other: the oldest of a step fall out."""
        same = index[:, None] == index[None, :]  # [B, B]
        place = self.counts[index] + same.tril(-1).sum(dim=1)
        stays = same.triu(1).sum(dim=1) < self.memory.shape[1]  # a batch may hold more of a step than is remembered
        rows = torch.where(stays, index, len(self.table))  # the others go to a row of their own, which is dropped
        padded = torch.cat([self.memory, self.memory[:1]])
        padded[rows, place % self.memory.shape[1]] = terms
        self.memory.copy_(padded[:-1])
        self.counts.scatter_add_(0, index, torch.ones_like(index))


@levels_registry.add_to_registry(name="lognormal")
class LogNormalLevels(TrainingLevels):
    """ln(sigma) ~ N(p_mean, p_std^2), weighted so that every level counts alike (Karras et al. 2022, Table 1)."""

    def __init__(self, denoiser: nn.Module, p_mean: float = -1.2, p_std: PositiveFloat = 1.2):
        super().__init__()
        self.p_mean, self.p_std = p_mean, p_std
        self.sigma_data = getattr(denoiser, "sigma_data", 0.5)

    def forward(self, draw: Callable[[str], Tensor]) -> Levels:
        sigma = (normal_from(draw("level")) * self.p_std + self.p_mean).exp()
        weight = (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2
        return Levels(sigma.float(), weight.float())


@levels_registry.add_to_registry(name="logit_normal")
class LogitNormalLevels(TrainingLevels):
    """logit(t) ~ N(mean, std^2) of a flow's time t = sigma / (1 + sigma), with equal weight.

    Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", section 3.1. As
    logit(t) = ln(sigma), these are a log-normal's levels, but not its weights.
    """

    def __init__(self, denoiser: nn.Module, mean: float = 0.0, std: PositiveFloat = 1.0):
        super().__init__()
        self.mean, self.std = mean, std
        self.sigma_min, self.sigma_max = denoiser.sigma_min, denoiser.sigma_max

    def forward(self, draw: Callable[[str], Tensor]) -> Levels:
        sigma = (normal_from(draw("level")) * self.std + self.mean).exp().clamp(self.sigma_min, self.sigma_max).float()
        return Levels(sigma, torch.ones_like(sigma))


@levels_registry.add_to_registry(name="uniform_time")
class UniformTimeLevels(TrainingLevels):
    """A flow's time t = sigma / (1 + sigma) uniform over the denoiser's range, with equal weight (Liu et al. 2022)."""

    def __init__(self, denoiser: nn.Module):
        super().__init__()
        self.t_min, self.t_max = (s / (1 + s) for s in (denoiser.sigma_min, denoiser.sigma_max))

    def forward(self, draw: Callable[[str], Tensor]) -> Levels:
        t = self.t_min + (self.t_max - self.t_min) * draw("level").double()
        sigma = (t / (1 - t)).float()
        return Levels(sigma, torch.ones_like(sigma))


def normal_from(uniform: Tensor) -> Tensor:
    """Turn uniform numbers into standard normal ones, float64, by the inverse distribution; open ends stay finite."""
    return torch.special.ndtri(uniform.double().clamp(1e-9, 1 - 1e-9))
