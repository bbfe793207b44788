"""A logger that training never waits for."""

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from torch import Tensor

from training.loggers.base import Logger, Scalars


class Background(Logger):
    """Another logger, made and called in a thread of its own: a service that is slow, or gone, costs no training time.

    When it fails it is said once, and the run goes on without it. At the end there are ``patience`` seconds for what
    it has not done yet.
    """

    def __init__(self, make: Callable[[], Logger], name: str, patience: float):
        self.make, self.name, self.patience = make, name, patience
        self.events: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self.thread = Thread(target=self.work, name=name, daemon=True)
        self.thread.start()

    def work(self) -> None:
        try:
            logger = self.make()
            for event, arguments in iter(self.events.get, None):
                getattr(logger, event)(*arguments)
        except Exception as error:  # whatever a service may come up with, it is not worth a run
            print(f"{self.name}: {type(error).__name__}: {error}; this run goes on without it", flush=True)

    def tell(self, event: str, *arguments: Any) -> None:
        if self.thread.is_alive():
            self.events.put((event, arguments))

    def scalars(self, step: int, values: Scalars, timing: Scalars) -> None:
        self.tell("scalars", step, dict(values), dict(timing))

    def image(self, step: int, name: str, image: Tensor) -> None:
        self.tell("image", step, name, image)

    def checkpoint(self, step: int, path: Path) -> None:
        self.tell("checkpoint", step, path)

    def alarm(self, step: int, text: str) -> None:
        self.tell("alarm", step, text)

    def close(self) -> None:
        """Wait for what is still to be told, but not for ever."""
        self.tell("close")
        self.events.put(None)
        self.thread.join(self.patience)
        if self.thread.is_alive():
            print(f"{self.name}: no answer within {self.patience:g} seconds; the run folder has everything", flush=True)
