"""How speeds are compared: in turns, on the same work, by the median of the rounds' ratios.

A single time says nothing on a machine that others use too. What slows one round down slows down both contestants of
this round, so their ratio stays.
"""

import statistics
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.synthetic import Synthetic
from utils.images import write_png

Contestants = dict[str, Callable[[], float]]  # each call does a piece of work and returns a speed


@dataclass(frozen=True)
class Row:
    """A line of the table: ``first`` is so many times as fast as ``second``, or a figure by itself."""

    what: str
    first: str
    second: str = ""
    ratio: float | None = None  # median over the rounds
    low: float | None = None  # quartiles of the rounds
    high: float | None = None
    speeds: dict[str, float] = field(default_factory=dict)  # medians
    unit: str = ""
    goal: str = ""
    rounds: int = 0

    def cells(self) -> list[str]:
        """Return the line's cells: what, who against whom, ratio, quartiles, speeds, goal."""
        against = f"{self.first} : {self.second}" if self.second else self.first
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        spread = "" if self.low is None or self.high is None else f"{self.low:.2f}-{self.high:.2f}"
        speeds = " : ".join(f"{speed:.4g}" for speed in self.speeds.values())
        return [self.what, against, ratio, spread, f"{speeds} {self.unit}".strip(), self.goal]

    def record(self) -> dict[str, Any]:
        return asdict(self)


HEADER = ["what", "who", "ratio", "quartiles", "medians", "goal"]


def contest(contestants: Contestants, rounds: int) -> dict[str, list[float]]:
    """Let everybody do its work once a round, in turns: who begins changes from round to round."""
    names = list(contestants)
    for name in names:
        contestants[name]()  # warm
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            speeds[name].append(contestants[name]())
    return speeds


def compared(what: str, contestants: Contestants, rounds: int, unit: str, goal: str = "") -> list[Row]:
    """Return a row for the first against each of the others."""
    speeds = contest(contestants, rounds)
    first, *others = speeds
    rows = []
    for other in others:
        ratios = [a / b for a, b in zip(speeds[first], speeds[other], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
        medians = {name: statistics.median(speeds[name]) for name in (first, other)}
        rows.append(Row(what, first, other, statistics.median(ratios), low, high, medians, unit, goal, rounds))
    return rows


def attempt(name: str, work: Callable[[], list[Row]]) -> list[Row]:
    """Return the rows of ``work``; none, and a word on what is missing or went wrong, where it fails."""
    try:
        return work()
    except ImportError as error:
        print(f"{name}: {error.name or error} is not here: pip install -r requirements-bench.txt", flush=True)
    except Exception:
        print(f"{name} has failed:", flush=True)
        traceback.print_exc()
    return []


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Return the seconds that ``work`` takes: on a GPU until it has finished, on a CPU of processor time.

    Processor time is this process's own, of all its threads: what others do on the machine does not count.
    """
    if device.type == "cpu":
        begin = time.process_time()
        work()
        return time.process_time() - begin
    synchronize(device)
    begin = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - begin


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Place:
    """Where benchmarks run: the device, a folder of images by class, a folder for what they write, how many rounds."""

    device: torch.device
    images: Path
    scratch: Path
    rounds: int = 7
    end: float = float("inf")  # of time.monotonic: nothing new begins after it

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def packs(self) -> str:
        """Where packed images lie: they are packed once for all benchmarks, but for those that measure packing."""
        return str(self.scratch / "packs")

    def time_is_over(self) -> bool:
        return time.monotonic() > self.end

    def folder(self) -> AbstractContextManager[str]:
        """Return a new folder that goes when it is left."""
        return tempfile.TemporaryDirectory(dir=self.scratch)


def draw_images(folder: Path, count: int, size: int = 64) -> Path:
    """Write drawn dishes as PNGs into class folders, for machines without Food-101."""
    dishes = Synthetic(image_size=size, num_images=count)
    for name in dishes.class_names:
        (folder / name).mkdir(parents=True)
    for row, file in enumerate(dishes.files):
        write_png(dishes.images_at(np.array([row]))[0], folder / f"{file}.png")
    return folder
