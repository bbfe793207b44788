"""What a run leaves in its own folder: values, times, alarms and pictures."""

import json

from torch import Tensor

from training.loggers.base import Logger, Scalars
from training.run_folder import RunFolder
from utils.files import LineFile, whole_path
from utils.images import write_png


class Folder(Logger):
    """``metrics.jsonl`` (values only: identical in identical runs), ``timing.jsonl``, ``alarms.jsonl``, and PNGs.

    Lines that the disk refuses are kept and written later; no checkpoint is written before they are.
    """

    def __init__(self, run: RunFolder):
        self.images = run.images
        self.metrics, self.timing, self.alarms = (
            LineFile(run.path / f"{name}.jsonl") for name in ("metrics", "timing", "alarms")
        )

    def scalars(self, step: int, values: Scalars, timing: Scalars) -> None:
        for file, numbers in ((self.metrics, values), (self.timing, timing)):
            if numbers:
                file.add(json.dumps({"step": step, **numbers}))
        self.write()

    def alarm(self, step: int, text: str) -> None:
        self.alarms.add(json.dumps({"step": step, "alarm": text}))
        self.write()

    def write(self) -> None:
        for file in (self.metrics, self.timing, self.alarms):
            file.write()

    def flush(self) -> None:
        self.write()
        for file in (self.metrics, self.timing, self.alarms):
            file.sync()

    def image(self, step: int, name: str, image: Tensor) -> None:
        with whole_path(self.images / f"{name}_{step:08d}.png") as temporary:
            write_png(image, temporary)
