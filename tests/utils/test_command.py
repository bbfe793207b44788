"""What a command does with an error: one line and a status for the user's, a traceback for ours."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from training.window import TrainingError
from utils.command import command
from utils.errors import ConfigError, DataError, MetricError, UserError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "status"), [(UserError, 2), (ConfigError, 2), (DataError, 2), (MetricError, 3), (TrainingError, 4)]
)
def test_a_user_error_is_one_line_and_its_status(capsys, error, status):
    @command
    def main():
        raise error("this is wrong:\n  do that")

    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == status
    assert capsys.readouterr() == ("", "error: this is wrong: do that\n")


def test_a_bug_keeps_its_traceback():
    @command
    def main():
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        main()


def test_a_command_keeps_its_name_and_arguments(capsys):
    @command
    def main(first, second=2):
        """Do it."""
        print(first, second)

    main(1, second=3)
    assert capsys.readouterr().out == "1 3\n"
    assert (main.__name__, main.__doc__) == ("main", "Do it.")


@pytest.mark.parametrize(
    ("error", "status", "fix"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), 2, "train.accumulate=2"),
        (torch.OutOfMemoryError("CUDA out of memory"), 2, "train.recompute=true"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a.png"), 2, "runs/a.png cannot be written"),
        (OSError(errno.ENOTDIR, "Not a directory", "README.md/gan"), 2, "README.md/gan cannot be written"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "runs/aaa"), 2, "File name too long"),
        (KeyboardInterrupt(), 130, "Ctrl-C"),
    ],
)
def test_a_full_gpu_a_full_disk_and_ctrl_c_are_one_line(capsys, error, status, fix):
    @command
    def main():
        raise error

    with pytest.raises(SystemExit) as stopped:
        main()
    out, err = capsys.readouterr()
    assert stopped.value.code == status
    assert fix in err and err.count("\n") == 1


@pytest.mark.parametrize("ask", [lambda: np.empty(2**58, np.uint8), lambda: torch.empty(2**58, dtype=torch.uint8)])
def test_what_the_machine_s_memory_does_not_hold_is_one_line(capsys, ask):
    with pytest.raises(SystemExit) as stopped:
        command(ask)()
    err = capsys.readouterr().err
    assert stopped.value.code == 2
    assert err.startswith("error: the machine's memory does not hold this") and err.count("\n") == 1


def test_other_errors_of_the_system_keep_their_traceback():
    @command
    def main():
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        main()


@pytest.mark.parametrize("module", ["train", "inference", "doctor", "datasets.prepare", "benchmarks.gaussian_baseline"])
def test_every_command_explains_itself(module):
    told = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    assert "python3" in told.stdout and "=" in told.stdout
    assert told.stderr == ""


def test_a_reader_that_goes_away_leaves_no_traceback():
    """What ``python3 -m datasets.prepare | head -1`` does: the pipe is closed before everything is written."""
    script = (
        "from utils.command import command\nimport sys\n"
        + "@command\ndef main():\n    print('x' * 10**6)\n    sys.stdout.flush()\nmain()"
    )
    told = subprocess.run(f'{sys.executable} -c "{script}" | head -c 1', shell=True, capture_output=True, text=True)
    assert told.stderr == ""


WHEN_TORCH_IS_LOOKED_FOR = """
import importlib.abc, os, runpy, signal, sys
class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch": {happens}
sys.meta_path.insert(0, Watch())
runpy.run_path("{script}", run_name="__main__")
"""


@pytest.mark.parametrize("script", ["train.py", "inference.py", "evaluate.py"])
def test_ctrl_c_while_a_command_is_still_importing_leaves_no_traceback(script):
    def told(happens: str) -> subprocess.CompletedProcess:
        code = WHEN_TORCH_IS_LOOKED_FOR.format(happens=happens, script=script)
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    stopped = told("os.kill(os.getpid(), signal.SIGINT)")
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (-signal.SIGINT, "", "")  # a shell shows 130
    broken = told("raise RuntimeError('ours')")
    assert "Traceback" in broken.stderr and "ours" in broken.stderr
