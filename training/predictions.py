"""A classifier before images with known labels: what it says, and how that is judged."""

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

from datasets.base import ImageDataset
from metrics.base import PredictionMetric, PredictionOutcome
from training.config import CommonConfig
from training.evaluation import build_metrics, pieces
from training.validation import Validation

Answer = Callable[[Tensor, range], Tensor]  # uint8 images [N, C, H, W] and their numbers to logits [N, K]


def build_prediction_metrics(config: CommonConfig) -> dict[str, PredictionMetric]:
    """Build the metrics of ``train.val_metrics``."""
    return build_metrics(config, PredictionMetric)


def predictions(answer: Answer, dataset: ImageDataset, batch_size: int) -> Iterator[PredictionOutcome]:
    """Ask about every image of a dataset, batch by batch, in order."""
    for rows in pieces(len(dataset), batch_size):
        batch = dataset.__getitems__(rows)
        yield PredictionOutcome(answer(batch.images, rows), batch.labels)


def judge_predictions(metrics: dict[str, PredictionMetric], outcomes: Iterable[PredictionOutcome]) -> dict[str, float]:
    """Return every metric's results by name, of one pass over the outcomes."""
    for metric in metrics.values():
        metric.reset()
    for outcome in outcomes:
        for metric in metrics.values():
            metric.update(outcome)
    return {name: value for metric in metrics.values() for name, value in metric.compute().items()}


class HeldOutValidation(Validation):
    """Asks about every image of the dev set, or of the test set where none is held out: ``val_accuracy`` and others.

    ``mark`` is how the figures' names begin.
    """

    def __init__(
        self,
        answer: Answer,
        dataset: ImageDataset,
        metrics: dict[str, PredictionMetric],
        batch_size: int,
        mark: str = "val_",
    ):
        super().__init__()
        self.answer, self.dataset, self.metrics, self.batch_size = answer, dataset, metrics, batch_size
        self.mark = mark

    def pictures(self) -> dict[str, Tensor]:
        return {}

    def figures(self) -> dict[str, float]:
        outcomes = predictions(self.answer, self.dataset, self.batch_size)
        return {f"{self.mark}{name}": value for name, value in judge_predictions(self.metrics, outcomes).items()}
