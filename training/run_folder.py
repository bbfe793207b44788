"""One folder a run: ``exp.exp_dir/exp.run_name``. The same command again continues what is there."""

import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets.leaks import Leak
from training.checkpoints import list_checkpoints
from training.config import EVERYTHING, MAY_CHANGE, CommonConfig
from utils.config import read_yaml, to_yaml
from utils.environment import environment
from utils.errors import ConfigError
from utils.files import TEMPORARY, delete_unfinished, whole_file
from utils.schema import bind

LOCK = ".lock"
LONGEST = 200  # bytes of a run's name: a file system takes 255, and what is made of it is a little longer


def run_name(config: CommonConfig) -> str:
    """Return the run's name: ``exp.run_name``, or the config file's name. It cannot lead out of ``exp.exp_dir``."""
    name = config.exp.run_name or Path(config.exp.config_path).stem
    if name in (".", "..") or "/" in name or "\\" in name or name.startswith("."):
        raise ConfigError(f"exp.run_name={name}: a name, not a path; exp.exp_dir says where")
    if len(os.fsencode(name)) > LONGEST:
        raise ConfigError(f"exp.run_name={name[:20]}... has more than {LONGEST} bytes: choose a shorter one")
    return name


class RunFolder:
    """Where a run keeps its config, environment, logs, images and checkpoints."""

    def __init__(self, config: CommonConfig):
        config.exp.run_name = run_name(config)  # so that the config in the run folder, given again, means this run
        self.config = config
        self.path = Path(config.exp.exp_dir).expanduser() / config.exp.run_name
        self.checkpoints = self.path / "checkpoints"
        self.images = self.path / "images"
        self.snapshots = self.path / "ema"  # averages of weights, if the EMA keeps any
        self.handle: int | None = None  # of the locked file

    def latest(self) -> Path | None:
        """Return the newest whole checkpoint, or None."""
        found = list_checkpoints(self.checkpoints)
        return found[-1] if found else None

    def list_left_out(self, leaks: list[Leak]) -> None:
        """Write down which training files show a photo of the test split or of the dev set."""
        lines = [f"{leak.train_file} shows {leak.test_file}\n" for leak in leaks]
        write_whole(self.path / "left_out.txt", "".join(lines))

    def check(self) -> None:
        """Make sure that the folder is free, or the run in it the one that this config describes."""
        recorded = self.path / "config.yaml"
        if recorded.exists() and not self.barren():
            self.compare(self.recorded(recorded), plain(self.config))
        elif not recorded.exists() and self.path.is_dir() and self.somebody_s():
            raise ConfigError(f"{self.path} is not empty and no run: choose another name with exp.run_name=")

    def somebody_s(self) -> bool:
        """Tell whether the folder holds more than a run leaves that was killed before its config was written."""
        return any(not path.name.startswith((LOCK, TEMPORARY)) for path in self.path.iterdir())

    def barren(self) -> bool:
        """Tell whether the run in the folder has come to nothing: no checkpoint and not one logged value."""
        log = self.path / "metrics.jsonl"
        return self.latest() is None and not (log.exists() and log.stat().st_size)

    def recorded(self, path: Path) -> dict:
        """Read a run's config; keys that did not exist when it was written have their default."""
        try:
            return plain(bind(type(self.config), read_yaml(path)))
        except ConfigError as error:
            raise ConfigError(f"{path} is of another version ({error}): set exp.run_name to begin a new run") from error

    def open(self, step: int) -> None:
        """Create the folder, and write down what the run in it is made with, from ``step`` on."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be made ({error.strerror}): set exp.exp_dir to a folder") from error
        self.lock()
        write_whole(self.path / "config.yaml", to_yaml(plain(self.config)))  # first: by it the folder is known as a run
        for folder in (self.images, self.checkpoints):
            folder.mkdir(exist_ok=True)
        for folder in (self.path, self.images, self.checkpoints, self.snapshots):
            delete_unfinished(folder)
        with open(self.path / "environment.jsonl", "a", encoding="utf-8") as file:  # a line a start
            file.write(json.dumps({"step": step, **environment()}) + "\n")

    def lock(self) -> None:
        """Keep other processes out of the folder until :meth:`close`, where the file system can."""
        handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise ConfigError(f"{self.path} is in use by another process: wait for it, or set exp.run_name") from None
        except OSError:
            os.close(handle)
        else:
            self.handle = handle

    def close(self) -> None:
        """Let other processes in again."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None

    def compare(self, recorded: dict, described: dict) -> None:
        """Raise a :class:`ConfigError` naming the first key in which the two runs differ.

        ``<role>_args`` come last: another class has other arguments, and the class is what was changed.
        """
        for key in sorted(recorded.keys() | described.keys(), key=lambda key: (key.endswith("_args"), key)):
            difference = first_difference(recorded.get(key), described.get(key), [key])
            if difference:
                name, old, new = difference
                raise ConfigError(
                    f"{self.path} holds a run with {name}={json.dumps(old)}, this one says {json.dumps(new)}: "
                    f"give it another name (exp.run_name=NAME), or start NAME from a file of that run "
                    f"(exp.run_name=NAME train.checkpoint_path=FILE)"
                    + ("" if self.latest() else "; or delete the folder: it holds no checkpoint yet")
                )

    def truncate_logs(self, step: int) -> None:
        """Drop the lines after ``step``: the resumed run writes them again."""
        for name in ("metrics.jsonl", "timing.jsonl", "alarms.jsonl"):
            path = self.path / name
            if path.exists():
                lines = path.read_text().splitlines(keepends=True)
                write_whole(path, "".join(line for line in lines if whole(line) and json.loads(line)["step"] <= step))


def whole(line: str) -> bool:
    """Tell whether a log line was written to its end."""
    return line.endswith("}\n")


def plain(config: CommonConfig) -> dict[str, Any]:
    """Return the resolved config as a plain tree without the keys that are not set."""
    return {key: value for key, value in asdict(config).items() if value is not None}


def first_difference(old: Any, new: Any, path: list[str]) -> tuple[str, Any, Any] | None:
    if isinstance(old, dict) and isinstance(new, dict):
        free = MAY_CHANGE.get(path[0], set()) if len(path) == 1 else set()
        if free == EVERYTHING:
            return None
        for key in sorted((old.keys() | new.keys()) - free):
            difference = first_difference(old.get(key), new.get(key), [*path, key])
            if difference:
                return difference
        return None
    return None if old == new else (".".join(path), old, new)


def write_whole(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text)
