"""Which checkpoint of a run was the best, by one figure of its validations."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from metrics.registry import metrics_registry
from training.checkpoints import checkpoint_name
from training.config import CommonConfig, TrainSection
from utils.errors import ConfigError
from utils.files import whole_file

ALWAYS = ("diversity", "ema_distance")  # what validations say without a metric


def check_best(config: CommonConfig) -> None:
    """Raise :class:`ConfigError` for a figure that no validation has, or when it would be of the test split."""
    metric, chosen = config.train.best_metric, [metrics_registry[name] for name in config.train.val_metrics]
    if metric is None:
        return
    stems = [*ALWAYS, *(stem for cls in chosen for stem in cls.results)]
    if all(cls.results for cls in chosen) and not any(stem in metric for stem in stems):
        raise ConfigError(f"train.best_metric={metric}: train.val_metrics give no such figure, but {', '.join(stems)}")
    if config.data.dev_per_class == 0:
        raise ConfigError("train.best_metric would choose on the test split: data.dev_per_class holds a dev set out")


class Best:
    """Remembers, in ``best.json`` beside the checkpoints, the step whose figure was best; that file is never pruned.

    ``metric`` is the end of a figure's name: ``fid768`` is ``val_quick202_fid768``. None: nothing is remembered.
    """

    def __init__(self, folder: Path, metric: str | None, best_is: Literal["lowest", "highest"]):
        self.folder, self.metric, self.best_is = folder, metric, best_is
        self.sign = 1 if best_is == "lowest" else -1

    @classmethod
    def of(cls, folder: Path, train: TrainSection) -> "Best":
        return cls(folder, train.best_metric, train.best_is)

    def is_better(self, figures: Mapping[str, float]) -> bool:
        """Tell whether this validation is the best so far; one whose figure is no number never is."""
        if self.metric is None or not math.isfinite(self.value(figures)):
            return False
        before = self.record()
        return before is None or self.sign * self.value(figures) < self.sign * before["value"]

    def value(self, figures: Mapping[str, float]) -> float:
        """Return the figure that counts. Raises :class:`ConfigError` when the validation has none of its name."""
        for name, value in figures.items():
            if name.endswith(f"_{self.metric}"):
                return value
        known = ", ".join(figures) or "none: set train.val_metrics"
        raise ConfigError(f"train.best_metric={self.metric}: no figure of the validation ends so (there are {known})")

    def remember(self, figures: Mapping[str, float], step: int) -> None:
        """Note that the checkpoint of ``step``, which is written next, is the best.

        The one before stays noted beside it, for the case that this one is never written.
        """
        chosen = {"metric": self.metric, "best_is": self.best_is, "value": self.value(figures)}
        record = {**chosen, "step": step, "before": self.record()}
        with whole_file(self.folder / "best.json") as file:
            json.dump(record, file)

    def record(self) -> dict | None:
        """Return what is remembered; None when there is nothing, or the checkpoint is not there any more.

        What was best by another figure says nothing of this one.
        """
        try:
            record = json.loads((self.folder / "best.json").read_text())
        except (OSError, ValueError):
            return None
        before = record.pop("before", None)
        return next((one for one in (record, before) if one and self.fits(one) and self.path_of(one).exists()), None)

    def fits(self, record: dict) -> bool:
        """Tell whether a record is of the figure that counts; without one, any is."""
        chosen_by = record["metric"], record.get("best_is", self.best_is)  # runs of earlier versions do not say
        return self.metric is None or chosen_by == (self.metric, self.best_is)

    def path(self) -> Path | None:
        """Return the best checkpoint, or None."""
        record = self.record()
        return None if record is None else self.path_of(record)

    def path_of(self, record: dict) -> Path:
        return self.folder / checkpoint_name(record["step"])
