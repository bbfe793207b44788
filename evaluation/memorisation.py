"""Does the model repeat its training photos? The nearest training neighbours of its samples, in feature space."""

import numpy as np
import torch
from torch import Tensor

from datasets.base import ImageDataset
from evaluation.analysis import Analysis, Finding, Subject
from evaluation.registry import analyses_registry
from utils.images import labelled_grid, write_png
from utils.schema import Fraction, PositiveInt


@analyses_registry.add_to_registry(name="memorisation")
class Memorisation(Analysis):
    """Holds the distance of each sample to its nearest training photo against the same distance of the real photos.

    ``memorised`` is the share of samples that lie nearer to a training photo than all but ``quantile`` of the
    reference's photos do. Photos that nobody has copied give ``quantile`` itself; a model that repeats gives more.
    The picture shows the ``shown`` nearest samples with their ``neighbours``. All training features are needed once:
    minutes on a GPU, an hour or two on a CPU.
    """

    def __init__(self, quantile: Fraction = 0.01, shown: PositiveInt = 16, neighbours: PositiveInt = 5):
        self.quantile = quantile
        self.shown = shown
        self.neighbours = neighbours

    def prepare(self, subject: Subject) -> None:
        subject.training_images("memorisation")

    def run(self, subject: Subject) -> Finding:
        train, fake = subject.training_images("memorisation"), subject.generated_images("memorisation")
        training = subject.features(train)
        distances, rows = nearest(subject.features(fake, "generated"), training, self.neighbours)
        real, _ = nearest(subject.features(subject.real), training, 1)
        threshold = real[:, 0].quantile(self.quantile)
        share = float((distances[:, 0] < threshold).double().mean())
        record = {
            "memorised": share,
            "expected": self.quantile,
            "median_distance": {"generated": float(distances[:, 0].median()), "real": float(real[:, 0].median())},
        }
        lines = [f"memorised: {share:.2%} of the samples, {self.quantile:.2%} are expected of photos nobody has copied"]
        if subject.pictures:
            path = subject.pictures / "nearest_training_images.png"
            write_png(neighbour_grid(fake, train, distances, rows, self.shown), path)
            lines.append(f"the nearest: {path}")
        return Finding(record, lines)


def nearest(queries: Tensor, keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the distances to the ``count`` nearest keys, [N, count] ascending, and their rows. A block at a time."""
    found = [torch.cdist(block, keys).topk(min(count, len(keys)), largest=False) for block in queries.split(256)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def neighbour_grid(fake: ImageDataset, train: ImageDataset, distances: Tensor, rows: Tensor, shown: int) -> Tensor:
    """Lay out the samples nearest to a training photo, one a row, each with its neighbours; uint8 [3, H, W]."""
    lines = []
    for sample in distances[:, 0].argsort()[:shown].tolist():
        images = torch.cat([fake.images_at([sample]), train.images_at(np.asarray(rows[sample]))])
        lines.append((f"at {distances[sample, 0]:.2f}", images))
    return labelled_grid(lines)
