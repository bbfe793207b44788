"""What a command does with an error: one line and a status for the user's, a traceback for ours."""

import errno
import subprocess
import sys

import pytest
import torch

from training.window import TrainingError
from utils.command import command
from utils.errors import ConfigError, DataError, MetricError, UserError


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
