"""The losses between two log steps. They stay on the device until they are read: no waiting in between."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from utils.distributed import first_over_processes, mean_over_processes
from utils.errors import UserError


class TrainingError(UserError):
    """Training cannot go on."""

    exit_status = 4


@dataclass
class Tally:
    """What is known of some terms that always come together."""

    sums: Tensor  # float64 [K] of the values that are finite
    broken: Tensor  # float64 [K] how many are not
    first: Tensor  # float64 [K] the step of the first of these; infinite: there is none
    count: int = 0  # steps

    @classmethod
    def empty(cls, size: int, device: torch.device) -> Tally:
        zeros = torch.zeros(size, dtype=torch.float64, device=device)
        return cls(zeros, zeros.clone(), zeros + torch.inf)

    def add(self, values: Tensor, step: int) -> None:
        finite = values.isfinite()
        self.sums += values.where(finite, 0.0)
        self.broken += ~finite
        self.first = torch.minimum(self.first, torch.where(finite, torch.inf, float(step)))
        self.count += 1

    def shared(self) -> Tally:
        """Return the mean tally of all processes."""
        sums, broken = mean_over_processes(torch.stack([self.sums, self.broken]))
        return Tally(sums, broken, first_over_processes(self.first), self.count)


@dataclass
class Reading:
    """What a window says of one term."""

    total: float = 0.0  # of the finite values, over all processes in the mean
    broken: float = 0.0
    first: float = float("inf")
    count: int = 0

    def complaint(self, name: str) -> str | None:
        """Return what is wrong, with the steps and the term; None where every value was a number."""
        if not self.broken:
            return None
        times = f"{max(round(self.broken), 1)} of {self.count} times since the last log step"
        return f"{name} was not finite {times}, first at step {self.first:.0f}: these steps changed no weights"


class LossWindow:
    """Means of named scalars; part of every checkpoint, so that a resumed run logs the same.

    A value that is not finite is left out of its mean, counted, and remembered with its step.
    """

    def __init__(self):
        self.tallies: dict[tuple[str, ...], Tally] = {}  # by the names of the terms: some come in some steps only

    def add(self, terms: dict[str, Tensor], step: int) -> None:
        """Count the scalars of a step, the ``step``-th of the run."""
        values = torch.stack([value.detach().float() for value in terms.values()])
        names = tuple(terms)
        if names not in self.tallies:
            self.tallies[names] = Tally.empty(len(names), values.device)
        self.tallies[names].add(values, step)

    def read(self) -> dict[str, Reading]:
        """Return what there is to say of every term since the last reading, over all processes, and start again."""
        readings = self.look()
        self.tallies = {}
        return readings

    def look(self) -> dict[str, Reading]:
        readings: dict[str, Reading] = {}
        for names, tally in self.tallies.items():
            shared = tally.shared()
            columns = torch.stack([shared.sums, shared.broken, shared.first]).T.tolist()
            for name, (total, broken, first) in zip(names, columns):
                seen = readings.setdefault(name, Reading())
                seen.total, seen.broken = seen.total + total, seen.broken + broken
                seen.first, seen.count = min(seen.first, first), seen.count + tally.count
        return readings

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the tallies, averaged over processes: every process goes on from the same."""
        self.tallies = {names: tally.shared() for names, tally in self.tallies.items()}
        return [
            {"names": list(names), **{key: on_cpu(value) for key, value in asdict(tally).items()}}
            for names, tally in self.tallies.items()
        ]

    def load_state_dict(self, state: list[dict[str, Any]], device: torch.device) -> None:
        self.tallies = {
            tuple(one["names"]): Tally(*(one[key].to(device) for key in ("sums", "broken", "first")), one["count"])
            for one in state
        }


def on_cpu(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value


def means(readings: dict[str, Reading]) -> dict[str, float]:
    """Return the mean of every term that was ever a number."""
    return {
        name: seen.total / (seen.count - seen.broken) for name, seen in readings.items() if seen.count > seen.broken
    }


def complaints(readings: dict[str, Reading], on_nonfinite: str) -> list[str]:
    """Return a line for each term that was not always a number.

    Raises :class:`TrainingError` with the first, unless ``train.on_nonfinite`` says to go on.
    """
    found = [line for name, seen in readings.items() if (line := seen.complaint(name))]
    if found and on_nonfinite == "error":
        raise TrainingError(
            f"{found[0]}; lower the learning rate, set train.max_grad_norm, or go on without such steps by "
            f"train.on_nonfinite=skip; the checkpoints before are whole"
        )
    return found


def check_weights(networks: dict[str, torch.nn.Module]) -> None:
    """Raise :class:`TrainingError` when a weight is not finite: no checkpoint may hold it."""
    for name, network in networks.items():
        if not torch.stack([parameter.isfinite().all() for parameter in network.parameters()]).all().item():
            raise TrainingError(
                f"weights of the {name} are not finite, so they are not saved: lower the learning rate and start the "
                f"same command with it under another exp.run_name, from the last checkpoint by train.checkpoint_path"
            )


def mean_terms(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average the terms of a step's batches and micro-batches, each over those that have it: a loss may skip some."""
    if len(parts) == 1:
        return parts[0]
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: torch.stack([part[name] for part in parts if name in part]).mean(0) for name in names}
