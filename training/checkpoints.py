"""Files of weights: written whole or not at all, and opened without running anybody's code."""

import hashlib
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.migrations import FORMAT, up_to_date
from utils.batch import map_tensors
from utils.errors import ConfigError, DataError
from utils.files import whole_file

State = dict[str, Any]
SUCH_AS = "runs/NAME/checkpoints/step_00005000.pt"
NAMED = 3  # checkpoints that a message names at most


class DamagedError(DataError):
    """A file that is not the whole checkpoint that it should be."""

    def __init__(self, path: Path, trouble: str, key: str):
        super().__init__(f"{path} {trouble}; name another by {key}")
        self.line = f"{path.name} {trouble}"


def checkpoint_name(step: int) -> str:
    return f"step_{step:08d}.pt"


def save_checkpoint(state: State, path: Path) -> None:
    """Write a checkpoint with its checksum, whole or not at all. Raises ``OSError`` when the disk refuses."""
    state = map_tensors({"format": FORMAT, **state}, Tensor.cpu)
    with whole_file(path, "wb") as file:
        try:
            torch.save({"checksum": checksum(state), **state}, file)
        except RuntimeError as error:  # what PyTorch makes of a full disk
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def checksum(state: State) -> str:
    """Return the SHA-256 of what a state holds, in its order, whatever file it lies in."""
    digest = hashlib.sha256()
    for part in parts(state):
        digest.update(part)
    return digest.hexdigest()


def parts(value: Any) -> Iterator[bytes | memoryview]:
    """Yield the bytes of nested tensors and plain values; no two different values yield the same."""
    if isinstance(value, Tensor):
        yield f"{value.dtype}{list(value.shape)}".encode()
        yield value.detach().reshape(-1).contiguous().view(torch.uint8).numpy().data
    elif isinstance(value, (dict, list, tuple)):
        yield f"{'dict' if isinstance(value, dict) else type(value).__name__}{len(value)}".encode()
        for item in value.items() if isinstance(value, dict) else value:
            yield from parts(item)
    else:
        plain = repr(value).encode()
        yield f"{type(value).__name__}{len(plain)}:".encode() + plain


def load_checkpoint(path: str | Path, key: str = "train.checkpoint_path", lazily: bool = False) -> State:
    """Open a checkpoint of this project on the CPU; tensors and plain values only, never code.

    ``key`` is the config key that named it; ``lazily``: a tensor is read from the disk when it is used, and the
    checksum, which would read them all, is not looked at. Raises :class:`ConfigError` when there is no such file,
    :class:`DamagedError` when it is damaged or not one of ours, :class:`DataError` when a newer version wrote it.
    """
    path = find_checkpoint(path, key)
    state = read(path, key, lazily)
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        raise DamagedError(path, "is not a checkpoint of this project", key)
    expected = state.pop("checksum", None)
    if not lazily and expected != checksum(state) and not (expected is None and state["format"] == 1):
        raise DamagedError(path, "is damaged: its checksum is another", key)  # layout 1 had none
    if state["format"] > FORMAT:
        raise DataError(f"{path} was written by a newer version (format {state['format']}): update the project")
    return up_to_date(state)


def read(path: Path, key: str, lazily: bool) -> Any:
    """Read the file of tensors and plain values that config key ``key`` names; tensors when used if ``lazily``.

    Raises :class:`DamagedError` for any other file.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd pickles: what counts is whether it opens
            return torch.load(path, map_location="cpu", weights_only=True, mmap=lazily)
    except pickle.UnpicklingError:
        trouble = "is damaged, or holds more than tensors and plain values: it could run code and is not opened"
        raise DamagedError(path, trouble, key) from None
    except Exception as error:  # torch raises a dozen kinds for a broken file
        raise DamagedError(path, f"is damaged or no checkpoint ({type(error).__name__})", key) from error


def open_newest(folder: Path, say: Callable[[str], None]) -> tuple[Path, State] | None:
    """Open a folder's newest checkpoint; one that is damaged is set aside, and the one before it opened.

    None: there is no checkpoint. Raises :class:`DataError`, and touches nothing, when there are some and none is
    whole: to start again from nothing should not happen by itself.
    """
    damaged: dict[Path, DamagedError] = {}
    for path in reversed(list_checkpoints(folder)):
        try:
            state = load_checkpoint(path)
        except DamagedError as error:
            damaged[path] = error
            continue
        for bad, error in damaged.items():
            aside = bad.replace(bad.with_name(f"{bad.name}.damaged"))
            say(f"{error.line}; set aside as {aside.name}")
        return path, state
    if damaged:
        raise DataError(f"no checkpoint in {folder} is whole any more: delete that folder to start again at step 0")
    return None


def find_checkpoint(path: str | Path, key: str) -> Path:
    """Return the file that config key ``key`` names. Raises :class:`ConfigError` that says what to write instead."""
    if not Path(path).is_file():
        raise ConfigError(f"{key}={path}: {what_to_write(Path(path), key)}")
    return Path(path)


def what_to_write(path: Path, key: str) -> str:
    """Say of a path that is no file what it is, and which checkpoint in that folder, or that run, may be meant."""
    if str(path) in ("latest", "best"):
        return f"this word is for train.checkpoint_path of inference.py: name a file, such as {SUCH_AS}"
    folder = path if path.is_dir() else path.parent
    there = {one.name: one for one in list_checkpoints(folder) or list_checkpoints(folder / "checkpoints")}
    if there:
        *_, newest = there
        meant = there[(get_close_matches(path.name, there, n=1) or [newest])[0]]
        what = "this is a folder" if path.is_dir() else "there is no such checkpoint"
        return f"{what}; there are {', '.join(list(there)[-NAMED:])}: write {key}={meant}"
    if (path / "model.json").is_file():
        return f"this is an exported model, which inference.py opens: name a checkpoint, such as {SUCH_AS}"
    what = "this folder holds no exported model and" if path.is_dir() else "there is no such file and"
    return f"{what} no checkpoint: name one, such as {SUCH_AS}"


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
