"""Files of weights: written whole or not at all, and opened without running anybody's code."""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from utils.errors import ConfigError, DataError
from utils.files import whole_file

FORMAT = 1
State = dict[str, Any]


def checkpoint_name(step: int) -> str:
    return f"step_{step:08d}.pt"


def save_checkpoint(state: State, path: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    with whole_file(path, "wb") as file:
        torch.save({"format": FORMAT, **state}, file)


def load_checkpoint(path: str | Path, key: str = "train.checkpoint_path", lazily: bool = False) -> State:
    """Open a checkpoint of this project on the CPU; tensors and plain values only, never code.

    ``key`` is the config key that named it; ``lazily``: a tensor is read from the disk when it is used. Raises
    :class:`ConfigError` when there is no such file, :class:`DataError` when it is damaged or not one of ours.
    """
    path = find_checkpoint(path, key)
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd pickles: what counts is whether it opens
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=lazily)
    except pickle.UnpicklingError:
        raise DataError(
            f"{path} is damaged, or holds more than tensors and plain values: it could run code and is not opened"
        ) from None
    except Exception as error:  # torch raises a dozen kinds for a broken file
        raise DataError(
            f"{path} is damaged or no checkpoint ({type(error).__name__}): delete it to go on from the one before"
        ) from error
    if not isinstance(state, dict) or "format" not in state:
        raise DataError(f"{path} is not a checkpoint of this project")
    if state["format"] > FORMAT:
        raise DataError(f"{path} was written by a newer version (format {state['format']}): update the project")
    return state


def find_checkpoint(path: str | Path, key: str) -> Path:
    """Make sure that the file which config key ``key`` names is there."""
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{key}: there is no checkpoint {path}")
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Return a folder's checkpoints, oldest first."""
    named = re.compile(r"step_\d{8,}\.pt")
    found = (path for path in folder.glob("step_*.pt") if named.fullmatch(path.name))
    return sorted(found, key=lambda path: int(path.stem.removeprefix("step_")))


def prune_checkpoints(folder: Path, keep: int, best: Path | None = None) -> None:
    """Delete all but the newest ``keep`` checkpoints and the best one."""
    for path in list_checkpoints(folder)[:-keep]:
        if path != best:
            path.unlink()


def load_into(network: torch.nn.Module, weights: State, name: str, path: str | Path) -> None:
    """Load weights by name, or say in one line what does not fit."""
    own = network.state_dict()
    wrong = [key for key in own if key not in weights or weights[key].shape != own[key].shape]
    wrong += [key for key in weights if key not in own]
    if wrong:
        raise DataError(
            f"{path} does not fit the {name} that the config describes: {len(wrong)} of its tensors differ, "
            f"the first is {wrong[0]}; use the config it was trained with"
        )
    network.load_state_dict(weights)
