"""One of several processes dies: the others say so and end, and what they had saved is whole."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runs import write_config
from training.checkpoints import list_checkpoints, load_checkpoint

ROOT = Path(__file__).parents[2]
FATES = {
    "raises": "process 1 has failed: the fan is on fire",
    "killed": "another process is gone: killed, or out of memory?",
}


def torchrun(fate: str, folder: Path, config: Path) -> subprocess.CompletedProcess:
    command = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    command = [sys.executable, *command, "-m", "tests.faults.ranks", fate, str(folder), str(config)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("fate", ["raises", pytest.param("killed", marks=pytest.mark.slow)])
def test_when_one_process_dies_the_others_say_why_and_only_the_first_ever_writes(fate, tmp_path):
    config = write_config(tmp_path, "gan", {"gen_losses": {"fateful_softplus": 1.0}})
    begin = time.monotonic()
    result = torchrun(fate, tmp_path, config)
    assert time.monotonic() - begin < 60
    assert result.returncode != 0
    told = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert told == [f"error: {FATES[fate]}; the same command goes on from the last checkpoint"], result.stderr
    (newest,) = list_checkpoints(tmp_path / "runs0" / "gan" / "checkpoints")
    assert load_checkpoint(newest)["step"] == 3
    assert not (tmp_path / "runs1").exists()


@pytest.mark.slow
def test_a_loss_that_is_infinite_in_one_process_is_left_out_by_all(tmp_path):
    """The gradients, averaged over the processes, tell: the first has seen nothing wrong."""
    changes = {"gen_losses": {"fateful_softplus": 1.0}, "train.on_nonfinite": "skip"}
    result = torchrun("poisoned", tmp_path, write_config(tmp_path, "gan", changes))
    assert result.returncode == 0, result.stderr
    state = load_checkpoint(tmp_path / "runs0" / "gan" / "checkpoints" / "step_00000007.pt")
    taken = {
        name: {int(one["step"]) for one in updater["optimizer"]["state"].values()}
        for name, updater in state["updaters"].items()
    }
    assert taken == {"generator": {6}, "discriminator": {7}}
    assert "fateful_softplus was not finite 1 of 2 times since the last log step, first at step 5" in result.stdout
