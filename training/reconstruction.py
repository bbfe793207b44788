"""Reconstructions beside their originals: how they are judged, in training and by a study."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from datasets.base import ImageDataset
from metrics.base import PairMetric, PairOutcome
from metrics.features import ImageSet
from training.config import CommonConfig
from training.evaluation import build_judge, build_metrics, pieces
from training.validation import Validation
from utils.images import image_grid

Reconstruct = Callable[[Tensor], Tensor]  # uint8 images [N, C, H, W] to the same shape
SHOWN, COLUMNS = 32, 8  # pairs in a grid; images in a row, of which every second is a reconstruction


def beside_originals(images: Tensor, reconstructed: Tensor) -> Tensor:
    """Lay out pairs of uint8 images [N, C, H, W]: each original with its reconstruction on its right."""
    return image_grid(torch.stack([images, reconstructed], dim=1).flatten(0, 1), columns=COLUMNS)


def shown_rows(dataset: ImageDataset) -> list[int]:
    """Choose the images of a grid: spread evenly, so that there are many classes among them."""
    count = min(SHOWN, len(dataset))
    return torch.linspace(0, len(dataset) - 1, count).round().long().tolist()


def grid_of(reconstruct: Reconstruct, dataset: ImageDataset) -> Tensor:
    images = dataset.images_at(shown_rows(dataset))
    return beside_originals(images, reconstruct(images))


class ReconstructionJudge:
    """The metrics of ``train.val_metrics``, of pairs and of sets, in one pass over a dataset."""

    def __init__(self, config: CommonConfig, device: torch.device):
        self.pairs = build_metrics(config, PairMetric)
        self.sets = build_judge(config, device)
        self.batch_size = config.data.val_batch_size

    def results(self, reconstruct: Reconstruct, dataset: ImageDataset) -> tuple[dict[str, float], dict[str, float]]:
        """Return the figures of pairs, and those of the two sets, by name."""
        reconstructed, of_sets = self.reconstructions(reconstruct, dataset), {}
        if self.sets is not None:
            of_sets = self.sets.evaluate(ImageSet.of(dataset), reconstructed)
        for _ in reconstructed:  # what no metric of sets has asked for
            pass
        return {name: value for metric in self.pairs.values() for name, value in metric.compute().items()}, of_sets

    def reconstructions(self, reconstruct: Reconstruct, dataset: ImageDataset) -> Iterator[Tensor]:
        """Yield reconstructions batch by batch, and show each with its original to the metrics of pairs."""
        for metric in self.pairs.values():
            metric.reset()
        for rows in pieces(len(dataset), self.batch_size):
            images = dataset.images_at(rows)
            again = reconstruct(images)
            for metric in self.pairs.values():
                metric.update(PairOutcome(images, again))
            yield again


class ReconstructionValidation(Validation):
    """Some images beside their reconstructions, and the metrics of the whole dev set, or of the test set without one.

    Figures of sets carry their size, as in :class:`training.validation.QuickValidation`; ``mark`` is how names begin.
    """

    def __init__(
        self, reconstruct: Reconstruct, dataset: ImageDataset, judge: ReconstructionJudge | None, mark: str = "val_"
    ):
        super().__init__()
        self.reconstruct, self.dataset, self.judge, self.mark = reconstruct, dataset, judge, mark

    def prepare(self) -> None:
        """See the real images once."""
        if self.judge is not None and self.judge.sets is not None:
            self.judge.sets.features(ImageSet.of(self.dataset))

    def pictures(self) -> dict[str, Tensor]:
        return {"reconstructions": grid_of(self.reconstruct, self.dataset)}

    def figures(self) -> dict[str, float]:
        of_pairs, of_sets = self.judge.results(self.reconstruct, self.dataset)
        quick = {f"quick{len(self.dataset)}_{name}": value for name, value in of_sets.items()}
        return {f"{self.mark}{name}": value for name, value in (of_pairs | quick).items()}
