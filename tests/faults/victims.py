"""Training runs that are killed: at a call of any function, from outside at any time, or by a signal.

Each is a process of its own, forked from one that has imported everything (a fork server), so that an attempt costs a
fraction of a second.
"""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

import train
from tests.crashes import assert_same
from training import saving
from training.losses.diffusion import MSE
from training.losses.registry import losses_registry
from training.trainers.base import BaseTrainer

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tests.faults.victims"])
TRAINING, SAVING = BaseTrainer.training_loop.__code__, saving.save.__code__


@losses_registry.add_to_registry(name="slow_mse")
class SlowMSE(MSE):
    """Takes a minute once training has begun."""

    def __call__(self, outcome):
        print("a long step begins", flush=True)
        until = time.monotonic() + 60
        while time.monotonic() < until:  # a signal does not cut it short
            time.sleep(0.05)
        return super().__call__(outcome)


class Doom:
    """Counts calls and returns of functions, Python's and C's, inside ``within``; kills the process at one of them."""

    def __init__(self, within, at: int | None):
        self.within, self.at = within, at
        self.depth = self.count = 0

    def __call__(self, frame: FrameType, event: str, _argument) -> None:
        if frame.f_code is self.within and event in ("call", "return"):
            self.depth += 1 if event == "call" else -1
        if self.depth:
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


def attempt(words: list[str], log: Path, within=None, at: int | None = None) -> None:
    """Train in this process, which says what it says in ``log``; to be killed at an event, if it comes to that."""
    with open(log, "a", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        torch.set_num_threads(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which background jobs ignore
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        doom = Doom({"training": TRAINING, "saving": SAVING}.get(within), at)
        if within:
            sys.setprofile(doom)
        try:
            train.main(words)
        finally:
            sys.setprofile(None)
            print(f"events: {doom.count}", file=file)


@dataclass
class Victim:
    """A run that is begun again after every death."""

    words: list[str]
    log: Path
    kills: int = 0

    def start(self, within: str | None = None, at: int | None = None) -> multiprocessing.Process:
        process = FORK.Process(target=attempt, args=(self.words, self.log, within, at))
        process.start()
        return process

    def live(self, within: str | None = None, at: int | None = None) -> bool:
        """Start the command and wait; tell whether it came to its end. Anything but that or a kill is an error."""
        process = self.start(within, at)
        process.join(120)
        assert process.exitcode in (0, -signal.SIGKILL), self.log.read_text()
        self.kills += process.exitcode != 0
        return process.exitcode == 0

    def live_for(self, seconds: float) -> bool:
        """As :meth:`live`, killed from outside after a while."""
        process = self.start()
        process.join(seconds)
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), self.log.read_text()
        self.kills += process.exitcode != 0
        return process.exitcode == 0

    def events(self, within: str) -> int:
        """Live to the end and return how many events there are."""
        assert self.live(within)
        return int(self.log.read_text().rsplit("events: ", 1)[1])


def until_done(victim: Victim, die: Callable[[], bool], most: int) -> None:
    """Start again and again until the run is done, after ``most`` deaths without another."""
    while not (die() if victim.kills < most else victim.live()):
        pass


def assert_same_run(first: Path, second: Path) -> None:
    """Compare two run folders bit by bit: but for times and places, everything that is in them."""
    names = [sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()) for run in (first, second)]
    assert names[0] == names[1]
    for name in set(names[0]) - {"config.yaml", "environment.jsonl", "timing.jsonl"}:
        files = first / name, second / name
        if name.endswith(".pt"):
            assert_same(*(state_of(file) for file in files))
        else:
            assert files[0].read_bytes() == files[1].read_bytes(), name


def state_of(file: Path) -> dict:
    state = torch.load(file, weights_only=True)
    del state["config"]["exp"]["exp_dir"], state["checksum"]  # which covers the place as well
    return state


def moments(seed: str, last: int) -> Callable[[], int]:
    """Return random moments, 1 .. last, one a call."""
    rng = random.Random(seed)
    return lambda: rng.randint(1, last)
