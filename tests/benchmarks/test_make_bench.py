"""The commands behind ``make bench`` and ``make bench-gpu`` are ones that the benchmarks take."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from benchmarks import __main__ as bench
from utils.config import parse_overrides
from utils.schema import bind

ROOT = Path(__file__).parents[2]
PAGES = "".join((ROOT / "docs" / name).read_text() for name in ("performance.md", "gpu_session.md"))
TOLD = sorted(set(re.findall(r"^make (bench[^#`\n]*)|`make (bench[^`]*)`", PAGES, re.MULTILINE)))


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
@pytest.mark.parametrize("line", [code or inline for code, inline in TOLD])
def test_a_line_of_the_pages_is_a_command(line):
    made = subprocess.run(
        ["make", "-n", "--no-print-directory", *shlex.split(line)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    words = shlex.split(made.stdout.splitlines()[-1])
    settings = bind(bench.Settings, parse_overrides(words[words.index("benchmarks") + 1 :]))
    assert settings.device == ("cuda" if "gpu" in line else "cpu")
    assert settings.go_on == ("GO_ON=true" in line) and (settings.run == "all") == ("RUN" not in line)


def test_every_benchmark_has_its_place_in_the_order():
    assert set(get_args(bench.Names)) == bench.BENCHMARKS.keys()
    assert all(name in bench.__doc__ for name in bench.BENCHMARKS)


def test_what_has_a_goal_on_a_gpu_comes_first():
    """Eight minutes may not hold everything."""
    names = list(get_args(bench.Names))
    goals = ["preset", "diffusers", "ddpm_pytorch", "evaluation", "start", "trainer", "data"]
    assert names[: len(goals)] == goals
