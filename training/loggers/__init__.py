"""Who is told what the run does. A logger is an object, never an ``if`` in the loop."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from training.loggers.background import Background
from training.loggers.base import Logger, Scalars
from training.loggers.console import Lines, ProgressBar
from training.loggers.folder import Folder
from training.loggers.tensorboard import TensorBoard
from training.loggers.weights_and_biases import CLOSE_SECONDS, OPEN_SECONDS, WeightsAndBiases, wandb_key_found
from training.run_folder import RunFolder
from utils.distributed import is_main, say


class Loggers:
    """All of a run's loggers as one. What goes wrong in one of them is said, and training goes on."""

    def __init__(self, members: list[Logger]):
        self.members = members
        self.said: set[str] = set()

    def scalars(self, step: int, values: Scalars, timing: Scalars | None = None) -> None:
        self.tell("scalars", step, values, timing or {})

    def image(self, step: int, name: str, image: Tensor) -> None:
        self.tell("image", step, name, image)

    def checkpoint(self, step: int, path: Path) -> None:
        self.tell("checkpoint", step, path)

    def alarms(self, step: int, texts: list[str]) -> None:
        for text in texts:
            self.tell("alarm", step, text)

    def note(self, step: int, text: str | None) -> None:
        """Tell whoever is watching; None: there is nothing to tell."""
        if text is not None:
            self.tell("note", step, text)

    def tell(self, event: str, step: int, *arguments: Any) -> None:
        for member in self.members:
            with self.guarded(member):
                getattr(member, event)(step, *arguments)

    @contextmanager
    def guarded(self, member: Logger) -> Iterator[None]:
        """Say what goes wrong inside, once, and go on."""
        try:
            yield
        except Exception as error:  # a full disk, a terminal that is gone: no reason to lose a run
            trouble = f"{type(member).__name__}: {getattr(error, 'strerror', None) or error}"
            if trouble not in self.said:
                self.said.add(trouble)
                say(f"{trouble}; training goes on")

    def flush(self) -> None:
        """Put what was told on the disk. Raises ``OSError`` when it refuses."""
        for member in self.members:
            member.flush()

    def close(self) -> None:
        for member in reversed(self.members):  # the bar ends before the others say their last words
            with self.guarded(member):
                member.close()


def open_loggers(run: RunFolder, step: int) -> Loggers:
    """Open the loggers that the config asks for, at ``step`` of the run; only the first process talks."""
    exp = run.config.exp
    if not is_main():
        return Loggers([])
    members: list[Logger] = [Folder(run)]
    if exp.use_tensorboard:
        members.append(TensorBoard(run, step))
    if exp.use_wandb:
        online = exp.wandb_mode == "online" and wandb_key_found()
        members.append(Background(lambda: WeightsAndBiases(run, online), "W&B", OPEN_SECONDS + CLOSE_SECONDS))
    console = ProgressBar if sys.stdout.isatty() else Lines
    return Loggers([*members, console(run.config.train.steps, step)])  # last: the others say their lines above the bar
