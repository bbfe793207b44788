"""A day's run in miniature: many tiny steps, and nothing grows that should not."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.faults.victims import FORK, attempt
from tests.runs import words, write_config
from training.losses.diffusion import MSE
from training.losses.registry import losses_registry

STEPS = int(os.environ.get("LOAD_STEPS", 100_000))
TINY = {
    "data.image_size": 8,
    "data.train_batch_size": 1,
    "train.model": "base_diffusion",
    "model_args": {"hidden_dim": 8, "blocks_num": 1},
    "train.max_grad_norm": None,
    "train.schedule": None,
    "schedule_args": None,
    "train.steps": STEPS,
    "train.log_step": 20,
    "train.val_step": STEPS // 10,
    "train.checkpoint_step": STEPS // 100,
    "losses_coef": {"watched_mse": 1.0},
}


@losses_registry.add_to_registry(name="watched_mse")
class WatchedMSE(MSE):
    """Writes down, now and then, what its process holds: pages of memory, open files, threads."""

    def __init__(self, report: str, every: int):
        self.report, self.every, self.calls = Path(report), every, 0

    def __call__(self, outcome):
        self.calls += 1
        if self.calls % self.every == 0:
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            files, threads = (len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task"))
            with open(self.report, "a") as file:
                file.write(
                    json.dumps({"step": self.calls, "bytes": resident, "files": files, "threads": threads}) + "\n"
                )
        return super().__call__(outcome)


def train_watched(arguments: list[str], log: Path) -> None:
    """Train in a process that knows this module's loss."""
    attempt(arguments, log)


@pytest.mark.slow
def test_a_long_run_holds_no_more_at_its_end_than_at_its_beginning(tmp_path):
    report = tmp_path / "report.jsonl"
    watched = {"report": str(report), "every": STEPS // 100}
    config = write_config(tmp_path, "diffusion", {**TINY, "losses_args": {"watched_mse": watched}})
    arguments = words(config, tmp_path, "exp.use_tensorboard=true")
    process = FORK.Process(target=train_watched, args=(arguments, tmp_path / "log"))
    process.start()
    process.join()
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    seen = [json.loads(line) for line in report.read_text().splitlines()]
    warm, late = seen[10:20], seen[-10:]  # the first tenth warms up caches
    memory = [np.median([look["bytes"] for look in looks]) for looks in (warm, late)]
    print(f"{STEPS} steps: {memory[0] / 2**20:.1f} MiB after a tenth, {memory[1] / 2**20:.1f} MiB at the end")
    assert memory[1] < memory[0] + 4 * 2**20
    for name in ("files", "threads"):
        assert max(look[name] for look in late) <= max(look[name] for look in warm), name
    run = tmp_path / "diffusion"
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == STEPS // 20 + 10  # a line a log step, and ten validations
    sizes = [sum(map(len, half)) for half in (lines[: len(lines) // 2], lines[len(lines) // 2 :])]
    assert sizes[1] < 1.1 * sizes[0]  # linear
    kept = sorted(path.name for path in (run / "checkpoints").glob("*.pt"))
    assert kept == [f"step_{step:08d}.pt" for step in range(STEPS - 2 * (STEPS // 100), STEPS + 1, STEPS // 100)]
