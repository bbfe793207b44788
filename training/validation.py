"""What is looked at during training, with the averaged weights: a family says what by the kind of its validation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from datasets.base import ImageDataset
from metrics.features import ImageSet
from metrics.judge import Judge
from training.data import Facts
from training.evaluation import labels_like
from utils.distributed import is_main
from utils.images import class_grid, image_grid

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer

ROWS, COLUMNS = 8, 8


class Validation(ABC):
    """A look at the averaged weights. Only the first process looks.

    It should take at most ``SHARE`` of the wall time. Which steps are validated is a function of the config alone, so
    that identical runs log the same: a validation that takes longer is told of, not left out.
    """

    SHARE = 0.1

    def __init__(self):
        self.warned = False

    def prepare(self) -> None:  # noqa: B027 - not all need anything
        """Do what is done once and kept, before the first step: no validation is to pay for it."""

    @abstractmethod
    def pictures(self) -> dict[str, Tensor]:
        """Return pictures by name, uint8 [C, H, W] each."""

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """Return numbers by name, which begins with ``val_``."""

    def warn(self, share: float, val_step: int, say: Callable[[str], None]) -> None:
        """Say once that validation has taken more than its share of the time, and which ``train.val_step`` would do."""
        if share > self.SHARE and not self.warned:
            longer = share / (1 - share) * (1 - self.SHARE) / self.SHARE  # so many times the steps between two
            fix = f"train.val_step={math.ceil(val_step * longer)} would keep it to {self.SHARE:.0%}"
            say(f"validation has taken {share:.0%} of the time so far: {fix}")
            self.warned = True


def prepare_validation(trainer: BaseTrainer) -> None:
    """Let a run's validation prepare, unless the run is at its end already."""
    if is_main() and trainer.step < trainer.config.train.steps:
        with trainer.clock.aside("reference"):
            trainer.validation.prepare()


def diversity(images: Tensor, labels: Tensor | None) -> float:
    """Return the standard deviation of a pixel over the images of a class, on average, in grey levels of 255."""
    groups = [images] if labels is None else [images[labels == label] for label in labels.unique()]
    return torch.stack([group.float().std(dim=0).mean() for group in groups]).mean().item()


class QuickValidation(Validation):
    """A grid with fixed noise, and a few images judged against the dev set, or the test set where none is held out.

    This is not the protocol of the results, and the names of its numbers say so: ``val_quick202_fid768`` is the
    distance of 202 images; ``mark`` is how they begin. ``synthesize(labels, count)`` makes images, uint8
    [count, C, H, W].
    """

    def __init__(
        self,
        synthesize: Callable[[Tensor | None, int], Tensor],
        facts: Facts,
        judge: Judge | None,
        real: ImageDataset | None,
        num_images: int,
        mark: str = "val_",
    ):
        super().__init__()
        self.synthesize, self.facts, self.judge, self.real, self.num_images = synthesize, facts, judge, real, num_images
        self.mark = mark

    def prepare(self) -> None:
        """See the real images once."""
        if self.judge is not None and self.real is not None:
            self.judge.features(ImageSet.of(self.real))

    def pictures(self) -> dict[str, Tensor]:
        images, labels = self.examples()
        if labels is None:
            return {"samples": image_grid(images, columns=COLUMNS)}
        return {"samples": class_grid(images, labels, self.facts.class_names)}

    def examples(self) -> tuple[Tensor, Tensor | None]:
        """Make 64 images with fixed noise, 8 of each of 8 classes, evenly chosen; uint8 [N, C, H, W], int64 [N]."""
        labels = None
        if self.facts.num_classes:
            classes = torch.linspace(0, self.facts.num_classes - 1, min(ROWS, self.facts.num_classes)).round().long()
            labels = classes.repeat_interleave(COLUMNS)
        images = self.synthesize(labels, ROWS * COLUMNS if labels is None else len(labels))
        self.diversity = diversity(images, labels)
        return images, labels

    def figures(self) -> dict[str, float]:
        """Return how different the pictures' images are, and the metrics of a few more, by name."""
        return {"val_diversity": self.diversity} | self.judged()

    def judged(self) -> dict[str, float]:
        """Return the metrics of a few images by name; nothing where no metric is asked for."""
        if self.judge is None or self.real is None:
            return {}
        count = min(self.num_images, len(self.real))
        labels = labels_like(self.real, count) if self.facts.conditional else None
        results = self.judge.evaluate(ImageSet.of(self.real), [self.synthesize(labels, count)], allow_fewer=True)
        return {f"{self.mark}quick{count}_{name}": value for name, value in results.items()}
