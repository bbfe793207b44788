"""Small things that tests of several folders need. Tiny experiments are in ``runs.py``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import train
from tests.runs import words, write_config
from training.launch import load_trainer
from training.trainers.base import BaseTrainer


def trainer_of(folder: Path, family: str, *overrides: str, changes: dict[str, Any] | None = None) -> BaseTrainer:
    """Return the trainer of a tiny experiment; nothing is opened yet. Its runs lie in ``folder/runs``."""
    return load_trainer(words(write_config(folder, family, changes), folder / "runs", *overrides))


def one_error_line(capsys, command, arguments: list[str], status: int = 2) -> str:
    """Run a command that must end with one line on stderr and an exit status. Returns the line."""
    with pytest.raises(SystemExit) as stopped:
        command(arguments)
    assert stopped.value.code == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def error_of(capsys, tmp_path, family: str, *overrides: str, command=train.main, changes=None) -> str:
    """Run a tiny experiment that must fail; make sure that nothing was written."""
    runs = tmp_path / "runs"
    line = one_error_line(capsys, command, words(write_config(tmp_path, family, changes), runs, *overrides))
    assert not runs.exists()
    return line


def write_image_folder(root: Path, classes: dict[str, int], size: int = 16, seed: int = 0) -> Path:
    """Write random PNGs, so many for each class, into class folders."""
    rng = np.random.default_rng(seed)
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index:03d}.png")
    return root
