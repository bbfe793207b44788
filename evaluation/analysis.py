"""What an analysis is: a longer look at a generated set than one number, with a picture perhaps."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from datasets.base import ImageDataset
from metrics.features import ImageSet
from metrics.judge import Judge
from utils.errors import MetricError


@dataclass(frozen=True)
class Subject:
    """What there is to look at. ``train`` is without the photos that the reference shows."""

    real: ImageDataset  # the reference
    judge: Judge
    fake: ImageDataset | None = None
    train: ImageDataset | None = None
    pictures: Path | None = None  # where pictures go: they may show the dataset's photos, so never into a repository
    no_train: str = "name their folder (train=DIR; in a config data.input_train_dir)"  # why there is no ``train``

    def features(self, images: ImageDataset, what: str = "real") -> Tensor:
        """Return what the judge's first network sees in a set, float32 [N, D]."""
        return next(iter(self.judge.features(ImageSet.of(images), what).values()))

    def training_images(self, analysis: str) -> ImageDataset:
        """Return the training set. Raises ``MetricError`` with the fix where there is none."""
        if self.train is None:
            raise MetricError(f"{analysis} needs the training images: {self.no_train}")
        return self.train

    def generated_images(self, analysis: str) -> ImageDataset:
        """Return the generated set. Raises ``MetricError`` with the fix where there is none."""
        if self.fake is None:
            raise MetricError(f"{analysis} needs generated images: name their folder (fake=DIR)")
        return self.fake

    def check_labelled(self, analysis: str) -> None:
        """Raise ``MetricError`` when a side that is there has no class folders."""
        if self.real.labels is None or (self.fake is not None and self.fake.labels is None):
            raise MetricError(f"{analysis} needs class folders on both sides: without them leave it out")


@dataclass(frozen=True)
class Finding:
    """What an analysis found: JSON values for the record, and lines for a person."""

    record: dict[str, Any]
    lines: list[str] = field(default_factory=list)


class Analysis(ABC):
    """A member takes its settings in its constructor and finds something out about a :class:`Subject`."""

    sees_features = True  # False: it needs none of the judge's networks
    sees_generated = True  # False: it looks at photos only

    @abstractmethod
    def prepare(self, subject: Subject) -> None:
        """Check, before any long work, that what it needs is there; ``fake`` may be made later.

        Raises a ``UserError`` with the fix otherwise.
        """

    @abstractmethod
    def run(self, subject: Subject) -> Finding:
        """Look. Raises ``MetricError`` when something it needs is missing."""
