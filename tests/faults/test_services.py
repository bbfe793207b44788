"""W&B may be unreachable, slow, refuse the key or die: training goes on at its speed, and nothing is lost."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.services import ANSWERS, missing_values, stand_in
from tests.faults.victims import FORK, attempt
from tests.runs import words, write_config
from training.loggers import Loggers, weights_and_biases
from training.losses.gan import SoftplusGen
from training.losses.registry import gen_losses_registry

LOGGED = {"train.log_step": 1, "train.steps": 40, "train.val_step": 20}


@gen_losses_registry.add_to_registry(name="assassin_softplus")
class AssassinSoftplus(SoftplusGen):
    """Kills W&B's process at the 20th step, once it is there."""

    calls = 0

    def __call__(self, outcome):
        AssassinSoftplus.calls += 1
        if AssassinSoftplus.calls == 20:
            os.kill(service_of(os.getpid()), signal.SIGKILL)
        return super().__call__(outcome)


def service_of(parent: int) -> int:
    """Wait for W&B's own process, a child of ``parent``, and return its number."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                of_parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent
                if of_parent and b"wandb" in (entry / "cmdline").read_bytes():
                    time.sleep(1)  # it has begun to listen
                    return int(entry.name)
            except OSError:  # it has ended in this moment
                continue
        time.sleep(0.05)
    raise TimeoutError("W&B has no process")


def timed(method, spent: list[float]):
    def call(*arguments):
        begin = time.perf_counter()
        method(*arguments)
        spent.append(time.perf_counter() - begin)

    return call


def train_with_wandb(arguments: list[str], log: Path, url: str, report: Path) -> None:
    """Train, in a process of its own; report the time spent telling W&B and in the whole run, in seconds."""
    os.environ.pop("WANDB_SERVICE", None)  # W&B's process of other tests
    os.environ |= {"WANDB_BASE_URL": url, "WANDB_API_KEY": "k" * 40, "WANDB_MODE": "online"}
    weights_and_biases.OPEN_SECONDS, weights_and_biases.CLOSE_SECONDS = 3.0, 3.0
    spent: list[float] = []
    made = Loggers.__init__

    def remember(self, members):
        made(self, members)
        (wandb,) = [member for member in members if getattr(member, "name", "") == "W&B"]
        wandb.tell = timed(wandb.tell, spent)

    Loggers.__init__ = remember
    begin = time.perf_counter()
    attempt(arguments, log)
    report.write_text(json.dumps({"telling": sum(spent), "calls": len(spent), "run": time.perf_counter() - begin}))


def run_with_wandb(folder: Path, url: str, *more: str, changes: dict | None = None) -> tuple[dict, str, Path]:
    config = write_config(folder, "gan", {**LOGGED, **(changes or {})})
    arguments = words(config, folder, "exp.use_wandb=true", *more)
    log, report = folder / "log", folder / "report.json"
    process = FORK.Process(target=train_with_wandb, args=(arguments, log, url, report))
    process.start()
    process.join(180)
    assert process.exitcode == 0, log.read_text()
    return json.loads(report.read_text()), log.read_text(), folder / "gan"


MANNERS = ["hangs", *(pytest.param(it, marks=pytest.mark.slow) for it in (*ANSWERS, "is not there") if it != "hangs")]


@pytest.mark.parametrize("manner", MANNERS)
def test_a_server_that_does_not_answer_well_costs_no_time_and_no_values(manner, tmp_path):
    if manner == "is not there":
        figures, said, run = run_with_wandb(tmp_path, "http://127.0.0.1:9")
    else:
        with stand_in(manner) as url:
            figures, said, run = run_with_wandb(tmp_path, url)
    assert "step 40 of 40: finished" in said
    assert "this run is logged offline" in said and "to upload: wandb sync" in said
    assert figures["calls"] >= 40 and figures["telling"] < 0.01 * figures["run"], figures
    assert missing_values(run) == []


def test_when_wandb_s_own_process_is_killed_it_is_started_again(tmp_path):
    """What it had not yet written is lost to W&B, not to the run folder."""
    changes = {"gen_losses": {"assassin_softplus": 1.0}}
    figures, said, run = run_with_wandb(tmp_path, "http://127.0.0.1:9", "exp.wandb_mode=offline", changes=changes)
    assert said.count("W&B: its process has died") == 1
    assert "step 40 of 40: finished" in said
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 42
    assert missing_values(run, after=20) == []
    assert figures["telling"] < 0.01 * figures["run"], figures
