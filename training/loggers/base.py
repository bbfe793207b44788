"""What a logger is: somebody who is told of a run."""

from pathlib import Path

from torch import Tensor

Scalars = dict[str, float]


class Logger:
    """Who is told of a run. By itself it says nothing: a member writes the methods for the events it cares for."""

    def scalars(self, step: int, values: Scalars, timing: Scalars) -> None:
        pass

    def image(self, step: int, name: str, image: Tensor) -> None:
        pass

    def checkpoint(self, step: int, path: Path) -> None:
        pass

    def alarm(self, step: int, text: str) -> None:
        pass

    def note(self, step: int, text: str) -> None:
        pass

    def flush(self) -> None:
        """Put what was told on the disk, before a checkpoint says that it is there. Raises ``OSError``."""

    def close(self) -> None:
        pass
