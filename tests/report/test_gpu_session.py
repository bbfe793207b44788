"""The commands of docs/gpu_session.md are commands of this project, with words that it takes."""

import os
import re
import shlex
from pathlib import Path

import pytest

from report import best
from report.best import Best
from training.launch import load_trainer
from utils.config import parse_overrides
from utils.schema import bind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gpu_session.md").read_text()


def commands(of: str) -> list[list[str]]:
    """Return the words of every line of the page's shell blocks that runs ``of``, with its loop's last name."""
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL))
    drawn = re.search(r"export DRAWN=(\S+)", blocks)[1]
    lines = [line for line in blocks.splitlines() if f"python3 {of} " in line]
    filled = [line.replace("$DRAWN", drawn).replace("$name", "gan/food101_sngan") for line in lines]
    return [
        shlex.split(line.removesuffix("; done"), comments=True)[len(shlex.split(f"python3 {of}")) :] for line in filled
    ]


@pytest.mark.parametrize("words", commands("-m report.best"), ids=lambda words: words[0])
def test_every_run_is_one_that_report_best_takes(words, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    settings = bind(best.Settings, parse_overrides(words))
    settings.out = str(tmp_path)
    run = Best(settings)
    load_trainer([f"exp.config_path={settings.config}", *settings.set]).check_config()
    for choice in {"", *run.choices["widths"][:1], *run.choices["guidance"]}:
        given = {word.partition("=")[0]: word for word in [*settings.set, *choice.split()]}  # the later counts
        load_trainer([f"exp.config_path={run.inference}", *given.values()]).check_config()


@pytest.mark.parametrize("script", ["train.py", "inference.py"])
def test_every_other_command_fits_the_code(script, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = commands(script)
    assert found
    for words in found:
        load_trainer([*(word.replace("$PWD", os.getcwd()) for word in words), "exp.device=cpu"]).check_config()


def test_the_page_names_no_config_that_is_not_there():
    named = set(re.findall(r"configs/[\w/]+\.yaml", PAGE))
    assert named and all((ROOT / name).exists() for name in named)
