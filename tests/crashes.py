"""Runs that crash in the middle of a step, and how to compare what they leave."""

import time
from pathlib import Path

import torch

import train
from tests.runs import words
from training.losses.autoencoder import L1
from training.losses.diffusion import MSE, VLB
from training.losses.gan import RelativisticGen, SoftplusGen
from training.losses.registry import (
    autoencoder_losses_registry,
    gen_losses_registry,
    losses_registry,
    supervised_losses_registry,
)
from training.losses.supervised import CrossEntropy


class Crash(RuntimeError):
    """A process that dies in the middle of a step."""


class Fragile:
    """A loss that crashes at one call, or takes a second for one, when it is told to."""

    crash_at: int | None = None
    slow_at: int | None = None
    calls = 0

    def __call__(self, outcome):
        Fragile.calls += 1
        time.sleep(Fragile.calls == Fragile.slow_at)
        if Fragile.calls == Fragile.crash_at:
            raise Crash
        return super().__call__(outcome)


@losses_registry.add_to_registry(name="fragile_mse")
class FragileMSE(Fragile, MSE):
    pass


@losses_registry.add_to_registry(name="fragile_vlb")
class FragileVLB(Fragile, VLB):
    pass


@autoencoder_losses_registry.add_to_registry(name="fragile_l1")
class FragileL1(Fragile, L1):
    pass


@gen_losses_registry.add_to_registry(name="fragile_softplus")
class FragileSoftplus(Fragile, SoftplusGen):
    pass


@gen_losses_registry.add_to_registry(name="fragile_relativistic")
class FragileRelativistic(Fragile, RelativisticGen):
    pass


@supervised_losses_registry.add_to_registry(name="fragile_cross_entropy")
class FragileCrossEntropy(Fragile, CrossEntropy):
    pass


def run(config: Path, runs: Path, crash_at: int | None = None, slow_at: int | None = None, more: str = "") -> None:
    """Run the command in this process; it may crash, or take a second, at the n-th call of the loss."""
    Fragile.calls, Fragile.crash_at, Fragile.slow_at = 0, crash_at, slow_at
    train.main(words(config, runs, *more.split()))


def assert_same(first, second, where: str = "checkpoint") -> None:
    """Compare nested states bit by bit."""
    assert type(first) is type(second), where
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype and torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), where
        for index, (a, b) in enumerate(zip(first, second)):
            assert_same(a, b, f"{where}[{index}]")
    else:
        assert first == second, where


def final_state(runs: Path, family: str) -> dict:
    state = torch.load(runs / family / "checkpoints" / "step_00000007.pt", weights_only=True)
    del state["config"]["exp"]["exp_dir"], state["checksum"]  # which covers the place as well
    return state
