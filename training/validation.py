"""The quick look during training: a grid with fixed noise, and cheap numbers that carry their own names."""

from collections.abc import Callable

import torch
from torch import Tensor

from datasets.base import ImageDataset
from metrics.features import ImageSet
from metrics.judge import Judge
from training.data import Facts
from training.evaluation import labels_like
from utils.images import image_grid

GRID = 64  # images, in 8 columns


class QuickValidation:
    """Judges a few images against the dev set, or the test set where none is held out.

    This is not the protocol of the results, and the names of its numbers say so: ``val_quick202_fid768`` is the
    distance of 202 images. ``synthesize(labels, count)`` makes images, uint8 [count, C, H, W].
    """

    SHARE = 0.1  # of the wall time, at most

    def __init__(self, facts: Facts, judge: Judge | None, real: ImageDataset | None, num_images: int):
        self.facts, self.judge, self.real, self.num_images = facts, judge, real, num_images

    def grid(self, synthesize: Callable[[Tensor | None, int], Tensor]) -> Tensor:
        """Make up to 64 images, as many of each class as fit; uint8 [C, H, W]."""
        classes = self.facts.num_classes
        labels = torch.arange(GRID) * classes // GRID if classes else None
        return image_grid(synthesize(labels, GRID), columns=8)

    def metrics(self, synthesize: Callable[[Tensor | None, int], Tensor]) -> dict[str, float]:
        """Return the metrics of a few images by name; nothing where no metric is asked for."""
        if self.judge is None or self.real is None:
            return {}
        count = min(self.num_images, len(self.real))
        labels = labels_like(self.real, count) if self.facts.conditional else None
        results = self.judge.evaluate(ImageSet.of(self.real), [synthesize(labels, count)], allow_fewer=True)
        return {f"val_quick{count}_{name}": value for name, value in results.items()}
