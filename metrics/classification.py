"""How often a classifier is right, and on what it is wrong."""

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.base import PredictionMetric, PredictionOutcome
from metrics.registry import metrics_registry
from utils.checks import check_rows, described

AMONG = 5  # "top 5": the right class is among the first so many


@metrics_registry.add_to_registry(name="classification")
class Classification(PredictionMetric):
    """Cross-entropy, accuracy, and precision, recall and F1 as means over the classes, all counting alike (macro).

    Of a class with a true positives, b false positives and c false negatives: precision a / (a + b), recall
    a / (a + c), F1 2a / (2a + b + c) (van Rijsbergen 1979, chapter 7); 0 where the denominator is 0. Classes that are
    neither shown nor named are left out of the means, as scikit-learn does.
    """

    results = ("cross_entropy", "accuracy", f"top{AMONG}_accuracy", "precision", "recall", "f1")

    def reset(self) -> None:
        self.confusion: Tensor | None = None  # int64 [K, K]: rows are the true class, columns the named one
        self._surprise, self._among = 0.0, 0  # sum of -log p(label); images whose label is among the first

    def update(self, outcome: PredictionOutcome) -> None:
        """Take in logits and labels. Raises ``ValueError`` for other shapes, or a label that is no class."""
        if outcome.logits.ndim != 2:
            raise ValueError(f"logits are float [N, K], not {described(outcome.logits)}")
        check_rows(outcome.labels, len(outcome.logits), "labels", integer=True)
        logits, labels = outcome.logits.detach().double().cpu(), outcome.labels.cpu()
        classes = logits.shape[1]
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(f"labels are 0 to {classes - 1} where logits are of {classes} classes")
        pairs = labels * classes + logits.argmax(dim=1)
        counts = torch.bincount(pairs, minlength=classes**2).view(classes, classes)
        self.confusion = counts if self.confusion is None else self.confusion + counts
        self._surprise += F.cross_entropy(logits, labels, reduction="sum").item()
        first = logits.topk(min(AMONG, classes), dim=1).indices  # [N, 5]
        self._among += int((first == labels[:, None]).sum())

    def compute(self) -> dict[str, float]:
        """Return the figures. Raises ``ValueError`` when there was no image."""
        if self.confusion is None or not self.confusion.sum():
            raise ValueError("no predictions to judge")
        count = int(self.confusion.sum())
        seen = (self.confusion.sum(dim=0) + self.confusion.sum(dim=1)) > 0  # [K] shown or named
        means = {name: values[seen].mean().item() for name, values in self.per_class().items() if name != "images"}
        return {
            "cross_entropy": self._surprise / count,
            "accuracy": self.confusion.diagonal().sum().item() / count,
            f"top{AMONG}_accuracy": self._among / count,
            **means,
        }

    def per_class(self) -> dict[str, Tensor]:
        """Return precision, recall and F1 of each class, float64 [K], and how many images show it, int64 [K]."""
        right = self.confusion.diagonal().double()
        shown, named = self.confusion.sum(dim=1), self.confusion.sum(dim=0)
        return {
            "precision": right / named.clamp(min=1),
            "recall": right / shown.clamp(min=1),
            "f1": 2 * right / (shown + named).clamp(min=1),
            "images": shown,
        }
