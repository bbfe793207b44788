"""A loss or gradient that is no number never reaches weights, averages or statistics; it is told, and stops the run."""

import json
import math
from pathlib import Path

import pytest
import torch

import train
from datasets.augmentations import augmentations_registry
from tests.crashes import Crash, assert_same, final_state, run
from tests.helpers import one_error_line
from tests.runs import FAMILIES, words, write_config
from training.losses.diffusion import DiffusionOutcome
from training.losses.registry import losses_registry
from training.precision import Precision
from training.trainers import base

POISONED_STEP = 5  # between the log steps 4 and 6


@augmentations_registry.add_to_registry(name="poison")
class Poison:
    """Makes one image of one batch infinite, counting batches from where the run begins; crashes at another."""

    at = crash_at = None
    calls = 0

    def __call__(self, images: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        Poison.calls += 1
        if Poison.calls == Poison.crash_at:
            raise Crash
        if Poison.calls == Poison.at:
            images = images.clone()
            images[0] = math.inf
        return images


def poisoned(folder: Path, family: str, at: int | None, crash_at: int | None = None, **changes) -> Path:
    """Write a config whose data is poisoned at a step."""
    Poison.calls, Poison.at, Poison.crash_at = 0, at, crash_at
    return write_config(folder, family, {"data.augmentations": ["poison"], **changes})


def floats(state) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state] if state.is_floating_point() else []
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in floats(value)]
    return [tensor for value in state for tensor in floats(value)] if isinstance(state, (list, tuple)) else []


@losses_registry.add_to_registry(name="cliff")
class Cliff:
    """Nought, with a slope that is no number however small it is made."""

    def __call__(self, outcome: DiffusionOutcome) -> torch.Tensor:
        return (0 * outcome.prediction.output.float()).abs().sqrt().sum()


SKIP = {"train.on_nonfinite": "skip"}
FIRST = {"diffusion": "edm", "gan": "r1", "supervised": "cross_entropy", "autoencoder": "kl"}


@pytest.mark.parametrize("family", FAMILIES)
def test_by_default_the_run_stops_at_the_next_log_step_naming_the_step_and_the_term(family, tmp_path, capsys):
    config = poisoned(tmp_path, family, at=POISONED_STEP)
    line = one_error_line(capsys, train.main, words(config, tmp_path), status=4)
    times = 1 if family == "gan" else 2  # R1 is there in every second step
    assert f"{FIRST[family]} was not finite 1 of {times} times since the last log step, first at step 5: " in line
    assert "train.on_nonfinite=skip" in line
    assert [path.name for path in (tmp_path / family / "checkpoints").glob("*.pt")] == ["step_00000003.pt"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_not_written_after_a_step_that_was_no_number(family, tmp_path, capsys):
    """Also where no log step comes before it."""
    changes = {"train.log_step": 100, "train.checkpoint_step": POISONED_STEP + 1, "train.val_step": 100}
    config = poisoned(tmp_path, family, at=POISONED_STEP, **changes)
    assert f"first at step {POISONED_STEP}" in one_error_line(capsys, train.main, words(config, tmp_path), status=4)
    assert list((tmp_path / family / "checkpoints").glob("*.pt")) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_that_goes_on_leaves_out_that_step_and_nothing_else(family, tmp_path):
    """Adam has taken one step less; all is finite: weights, averages, moments, batch statistics, logged means."""
    train.main(words(poisoned(tmp_path, family, at=POISONED_STEP, **SKIP), tmp_path))
    state = final_state(tmp_path, family)
    weights = floats([state[part] for part in ("networks", "ema", "ema_others", "updaters")])
    assert len(weights) > 20 and all(tensor.isfinite().all() for tensor in weights)
    taken = {
        int(one["step"]) for updater in state["updaters"].values() for one in updater["optimizer"]["state"].values()
    }
    assert 6 in taken and taken <= {6, 7}  # a generator that looks at no real image has its seventh
    logged = [json.loads(line) for line in (tmp_path / family / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(value) for line in logged for value in line.values())
    told = [json.loads(line) for line in (tmp_path / family / "alarms.jsonl").read_text().splitlines()]
    broken = [line for line in told if "was not finite" in line["alarm"]]
    assert {line["step"] for line in broken} == {6}
    assert broken[0]["alarm"].startswith(f"{FIRST[family]} was not finite 1 of ")
    assert "first at step 5: these steps changed no weights" in broken[0]["alarm"]


@pytest.mark.parametrize("family", FAMILIES)
def test_until_then_and_after_it_a_broken_run_is_as_an_unbroken_one(family, tmp_path):
    """Crashed right after the poisoned step, it goes on from the checkpoint at 3 and meets the poison again."""
    run(poisoned(tmp_path, family, at=POISONED_STEP, **SKIP), tmp_path / "unbroken")
    with pytest.raises(Crash):
        run(poisoned(tmp_path, family, at=POISONED_STEP, crash_at=6, **SKIP), tmp_path / "broken")
    run(poisoned(tmp_path, family, at=POISONED_STEP - 3, **SKIP), tmp_path / "broken")
    assert_same(final_state(tmp_path / "unbroken", family), final_state(tmp_path / "broken", family))
    for name in ("metrics.jsonl", "alarms.jsonl"):
        logs = [(tmp_path / place / family / name).read_text() for place in ("unbroken", "broken")]
        assert logs[0] == logs[1], name


def test_a_loss_scale_of_fp16_that_collapses_is_told_and_no_weight_has_moved(tmp_path, monkeypatch, capsys):
    """In a real run, with PyTorch's scaler on the CPU: it halves 2^16 at each of 20 steps and never takes one."""
    monkeypatch.setattr(base, "choose_precision", lambda amp, device: Precision("cpu", torch.float16))
    changes = {"losses_coef": {"edm": 1.0, "cliff": 1.0}, "train.steps": 20, "train.log_step": 5, "train.val_step": 20}
    train.main(words(write_config(tmp_path, "diffusion", changes), tmp_path))
    assert capsys.readouterr().out.count("fp16's loss scale has fallen to 0.0625, so most steps are left out") == 1
    lines = [json.loads(line) for line in (tmp_path / "diffusion" / "metrics.jsonl").read_text().splitlines()]
    scales = [line["loss_scale_denoiser"] for line in lines if "loss_scale_denoiser" in line]
    assert scales == [2.0 ** (16 - step) for step in (5, 10, 15, 20)]
    state = torch.load(tmp_path / "diffusion" / "checkpoints" / "step_00000020.pt", weights_only=True)
    assert all(torch.equal(state["ema"][name], weight) for name, weight in state["networks"]["denoiser"].items())
