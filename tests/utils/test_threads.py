"""Threads sleep where others work, and PyTorch is told in time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def policy(code: str, **settings: str) -> str:
    """Run code in a new process without thread settings but these; return the last line that it prints."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=ROOT, env=clean | settings, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


LOAD = "import os; os.getloadavg = lambda: ({load} * os.cpu_count(), 0, 0); "
TOLD = "import utils.threads; print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(("load", "expected"), [(0.0, "None None"), (0.4, "None None"), (0.6, "PASSIVE None")])
def test_threads_sleep_when_more_than_half_of_the_cores_are_busy(load, expected):
    assert policy(LOAD.format(load=load) + TOLD) == expected


def test_what_the_user_has_set_stays():
    code = LOAD.format(load=5) + TOLD
    assert policy(code, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE None"
    assert policy(code, GOMP_SPINCOUNT="7") == "None 7"


@pytest.mark.parametrize("command", ["train", "inference", "evaluate"])
def test_a_command_sets_it_before_pytorch_is_loaded(command):
    code = (
        "import sys, importlib.abc\n"
        "class Watch(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'torch': print('in time' if 'utils.threads' in sys.modules else 'too late'); sys.exit()\n"
        f"sys.meta_path.insert(0, Watch()); import {command}"
    )
    assert policy(code) == "in time"
