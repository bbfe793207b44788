"""What every metric is, and what those that judge sets of images share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from metrics.features import FeatureSpec


class Metric(ABC):
    """A figure of merit, of outcomes given one after the other. What an outcome holds is the metric's own."""

    judges: ClassVar[str]  # what its outcomes are about, in words
    results: ClassVar[tuple[str, ...]] = ()  # what the names of its results begin with; (): it does not say

    @abstractmethod
    def reset(self) -> None:
        """Forget every outcome."""

    @abstractmethod
    def update(self, outcome: Any) -> None:
        """Take in one outcome."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return the results by name, of all outcomes since the last reset."""


@dataclass(frozen=True)
class SetOutcome:
    """Features of some real and some generated images, not paired; either may be missing."""

    real: Tensor | None = None  # float32 [N, D]
    fake: Tensor | None = None  # float32 [M, D]


class SetMetric(Metric):
    """A metric that compares two sets of images through their features; a subclass writes :meth:`compute`.

    ``features`` says which network the metric needs; None: whichever the metrics beside it use, see ``Judge``.
    """

    judges = "sets of images"

    def __init__(self, features: FeatureSpec | None):
        self.features = features
        self.reset()

    def reset(self) -> None:
        self._real: list[Tensor] = []
        self._fake: list[Tensor] = []

    def update(self, outcome: SetOutcome) -> None:
        """Take in features. Raises ``ValueError`` when they are not finite float32 [N, D]."""
        for kept, features in ((self._real, outcome.real), (self._fake, outcome.fake)):
            if features is not None:
                kept.append(_checked(features))

    def sets(self) -> tuple[Tensor, Tensor]:
        """Return the real [N, D] and generated [M, D] features. Raises ``ValueError`` when a set has fewer than 2."""
        return _joined(self._real, "real"), _joined(self._fake, "generated")

    def name(self, stem: str) -> str:
        """Return the name of a result: ``stem`` alone is the standard network's, others carry theirs (``fid768``)."""
        spec = self.features or FeatureSpec(dims=self.sets()[0].shape[1])
        return stem + spec.suffix


@dataclass(frozen=True)
class PredictionOutcome:
    """What a classifier says about some images, and what they show."""

    logits: Tensor  # float [N, K]
    labels: Tensor  # int64 [N]


class PredictionMetric(Metric):
    """A metric that holds predictions against labels."""

    judges = "predictions"

    def __init__(self):
        self.reset()

    @abstractmethod
    def update(self, outcome: PredictionOutcome) -> None:
        """Take in some predictions."""


@dataclass(frozen=True)
class PairOutcome:
    """Some images, and beside each what stands for it: its reconstruction, its copy at a lower quality."""

    images: Tensor  # uint8 [N, C, H, W]
    others: Tensor  # uint8 [N, C, H, W]


class PairMetric(Metric):
    """A metric of two images, averaged over pairs; a subclass says what one pair gives."""

    judges = "pairs of images"
    name: ClassVar[str]

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        self._sum, self._count = 0.0, 0

    @abstractmethod
    def of_pairs(self, outcome: PairOutcome) -> Tensor:
        """Return the figure of each pair, float64 [N]."""

    def update(self, outcome: PairOutcome) -> None:
        """Take in pairs. Raises ``ValueError`` when they are not uint8 images of one shape."""
        for images in (outcome.images, outcome.others):
            if images.dtype != torch.uint8 or images.shape != outcome.images.shape or images.ndim != 4:
                raise ValueError(f"pairs are uint8 [N, C, H, W] of one shape, not {images.dtype} {tuple(images.shape)}")
        values = self.of_pairs(outcome)
        self._sum += values.sum().item()
        self._count += len(values)

    def compute(self) -> dict[str, float]:
        """Return the mean over all pairs. Raises ``ValueError`` when there was none."""
        if not self._count:
            raise ValueError("no pairs to judge")
        return {self.name: self._sum / self._count}


def _checked(features: Tensor) -> Tensor:
    if features.ndim != 2 or features.dtype != torch.float32:
        raise ValueError(f"features are float32 [N, D], not {features.dtype} {tuple(features.shape)}")
    if not features.isfinite().all():
        bad = int((~features.isfinite()).any(dim=1).sum())
        raise ValueError(f"features of {bad} of {len(features)} images are not finite")
    return features.cpu()


def _joined(parts: list[Tensor], kind: str) -> Tensor:
    if sum(map(len, parts)) < 2:
        raise ValueError(f"two images or more make a set, not {sum(map(len, parts))} {kind}")
    if len(widths := {part.shape[1] for part in parts}) > 1:
        raise ValueError(f"features of one set are of one width, not of {sorted(widths)}")
    return torch.cat(parts)
