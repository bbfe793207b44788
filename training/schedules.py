"""Schedules: settings and a formula, progress in [0, 1] -> value.

Progress is the share of ``train.steps`` that is done, so a schedule stretches with the run.
"""

import math

from training.registry import schedules_registry
from utils.schema import Fraction


class Schedule:
    """A factor that rises linearly from 0 over the first ``warmup`` of the run, and then follows ``shape``.

    It is down at ``final`` when the share ``until`` of the run is done, and stays there.
    """

    def __init__(self, warmup: Fraction = 0.0, final: Fraction = 0.0, until: Fraction = 1.0):
        if until < warmup:
            raise ValueError(f"until={until} comes before the end of warmup={warmup}")
        self.warmup, self.final, self.until = warmup, final, until

    def __call__(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        rest = (progress - self.warmup) / max(self.until - self.warmup, 1e-12)
        return self.final + (1 - self.final) * self.shape(min(rest, 1.0))

    def shape(self, progress: float) -> float:
        """Fall from 1 at the end of the warm-up, progress 0, to 0 at ``until``, progress 1."""
        raise NotImplementedError


@schedules_registry.add_to_registry(name="constant")
class Constant(Schedule):
    """Warm-up, then 1."""

    def __init__(self, warmup: Fraction = 0.0):
        super().__init__(warmup)

    def shape(self, progress: float) -> float:
        return 1.0


@schedules_registry.add_to_registry(name="linear")
class Linear(Schedule):
    """Warm-up, then a straight line down to ``final``."""

    def shape(self, progress: float) -> float:
        return 1 - progress


@schedules_registry.add_to_registry(name="cosine")
class Cosine(Schedule):
    """Warm-up, then half a cosine down to ``final`` (Loshchilov & Hutter 2017, one cycle)."""

    def shape(self, progress: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * progress))
