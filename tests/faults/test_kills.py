"""Kill it anywhere, run the same command, and it ends in the same bits."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.victims import FORK, Victim, assert_same_run, attempt, moments, until_done
from tests.runs import GENERATIVE, words, write_config
from training.checkpoints import load_checkpoint

CHANGES = {"data.dev_per_class": 1, "train.best_metric": "diversity", "train.keep_checkpoints": 2, "train.val_step": 2}
WITHIN = ["training", "saving"]  # anywhere in the loop; inside the writing of a checkpoint


def victim_of(folder: Path, family: str, name: str, *more: str, changes: dict | None = None) -> Victim:
    config = write_config(folder, family, {**CHANGES, **(changes or {})})
    return Victim(words(config, folder / name, *more), folder / f"{name}.log")


def survive(folder: Path, family: str, within: str, kills: int, changes: dict | None = None) -> int:
    """Kill runs at random events until there were so many kills; compare each with an unbroken run."""
    unbroken = victim_of(folder, family, "unbroken", changes=changes)
    moment, survived = moments(f"{family} {within}", unbroken.events(within)), 0
    while survived < kills:
        victim = victim_of(folder, family, f"broken{survived}", changes=changes)
        until_done(victim, lambda: victim.live(within, moment()), most=kills - survived)  # noqa: B023 (called here)
        assert_same_run(folder / "unbroken" / family, folder / victim.log.stem / family)
        survived += victim.kills
    return survived


@pytest.mark.parametrize("within", WITHIN)
@pytest.mark.parametrize("family", GENERATIVE)
def test_a_run_killed_at_random_calls_ends_in_the_same_bits(family, within, tmp_path):
    assert survive(tmp_path, family, within, kills=3) == 3


@pytest.mark.slow
@pytest.mark.parametrize("within", WITHIN)
@pytest.mark.parametrize("family", GENERATIVE)
def test_runs_killed_fifty_times_end_in_the_same_bits(family, within, tmp_path):
    """With all that a run can have: several averages and their snapshots, gradients in parts, three GAN moves."""
    changes = {
        "diffusion": {"train.ema": "power", "ema_args": {}, "train.accumulate": 2},
        "gan": {"train.disc_steps": 2},
    }
    print(f"{survive(tmp_path, family, within, kills=50, changes=changes[family])} kills")


@pytest.mark.slow
@pytest.mark.parametrize("family", GENERATIVE)
def test_runs_killed_from_outside_at_any_time_end_in_the_same_bits(family, tmp_path):
    """Also inside of PyTorch's own code, and before the first step."""
    unbroken, begin = victim_of(tmp_path, family, "unbroken"), time.monotonic()
    assert unbroken.live()
    seconds, rng, survived = time.monotonic() - begin, random.Random(family), 0
    while survived < 50:
        victim = victim_of(tmp_path, family, f"broken{survived}")
        until_done(victim, lambda: victim.live_for(rng.uniform(0, seconds)), most=50 - survived)  # noqa: B023
        assert_same_run(tmp_path / "unbroken" / family, tmp_path / victim.log.stem / family)
        survived += victim.kills


def wait_for(log: Path, line: str) -> None:
    until = time.monotonic() + 60
    while not (log.exists() and line in log.read_text()):
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.02)


LONG = ["train.steps=60", "train.val_step=30"]
SIGNALS = [signal.SIGTERM, *(pytest.param(it, marks=pytest.mark.slow) for it in (signal.SIGINT, signal.SIGHUP))]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_saves_first_and_the_rest_ends_in_the_same_bits(number, tmp_path):
    assert victim_of(tmp_path, "gan", "unbroken", *LONG).live()
    victim = victim_of(tmp_path, "gan", "broken", *LONG)
    process = victim.start()
    wait_for(victim.log, "step 2:")
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 128 + number
    newest = max((tmp_path / "broken" / "gan" / "checkpoints").glob("*.pt"))
    said = victim.log.read_text()
    assert f"step {load_checkpoint(newest)['step']} of 60: the same command goes on from here" in said
    assert victim.live()
    newest.unlink(missing_ok=True)  # it is of a step at which the unbroken run saves nothing
    assert_same_run(tmp_path / "unbroken" / "gan", tmp_path / "broken" / "gan")


def train_into(arguments: list[str], pipe: Path) -> None:
    """Train, and say what there is to say into a pipe that nobody may read."""
    with suppress(BrokenPipeError):
        attempt(arguments, pipe)


def test_a_run_whose_reader_or_terminal_goes_away_trains_on_to_its_end(tmp_path):
    """As when a connection drops, or a pager is left."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    arguments = words(write_config(tmp_path, "gan"), tmp_path / "runs")
    process = FORK.Process(target=train_into, args=(arguments, pipe))
    process.start()
    with open(pipe) as reader:
        assert "training images" in reader.readline()
    process.join(120)
    assert (tmp_path / "runs" / "gan" / "checkpoints" / "step_00000007.pt").exists()
    assert "7" in (tmp_path / "runs" / "gan" / "metrics.jsonl").read_text().splitlines()[-1]


def test_a_second_signal_ends_at_once(tmp_path):
    """In the middle of a step that takes a minute; seconds later, because a terminal may send one signal twice."""
    victim = victim_of(tmp_path, "diffusion", "slow", changes={"losses_coef": {"slow_mse": 1.0}})
    process = victim.start()
    wait_for(victim.log, "a long step begins")
    process.terminate()
    time.sleep(2.2)
    assert process.is_alive()
    process.terminate()
    process.join(5)
    assert process.exitcode == 128 + signal.SIGTERM
