"""The losses between two log steps. They stay on the device until they are read: no waiting in between."""

import math

import torch
from torch import Tensor

from utils.distributed import mean_over_processes
from utils.errors import UserError


class TrainingError(UserError):
    """Training cannot go on."""

    exit_status = 4


class LossWindow:
    """Running sums of named scalars; part of every checkpoint, so that a resumed run logs the same means."""

    def __init__(self):
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, value in terms.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """Return the means since the last reading, over all processes, and start again."""
        means = self.means()
        self.sums, self.counts = {}, {}
        return means

    def means(self) -> dict[str, float]:
        if not self.sums:
            return {}
        stacked = torch.stack([self.sums[name].double() / self.counts[name] for name in self.sums])
        return dict(zip(self.sums, mean_over_processes(stacked).tolist()))

    def state_dict(self) -> dict:
        """Return the sums, averaged over processes: every process goes on from the same."""
        self.sums = {name: mean_over_processes(value) for name, value in self.sums.items()}
        return {"sums": {name: value.cpu() for name, value in self.sums.items()}, "counts": dict(self.counts)}

    def load_state_dict(self, state: dict, device: torch.device) -> None:
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.counts = dict(state["counts"])


def mean_terms(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average the terms of a step's batches and micro-batches, each over those that have it: a loss may skip some."""
    if len(parts) == 1:
        return parts[0]
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: torch.stack([part[name] for part in parts if name in part]).mean(0) for name in names}


def check_finite(values: dict[str, float], step: int) -> None:
    """Raise :class:`TrainingError` when a loss is not a number: what follows would be worthless."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"{name} is {value} at step {step}: lower the learning rate or set train.max_grad_norm; "
                f"the checkpoints before this step are whole"
            )
