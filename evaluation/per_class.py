"""Which classes the model draws well and which it does not."""

import numpy as np

from datasets.base import ImageDataset
from evaluation.analysis import Analysis, Finding, Subject
from evaluation.registry import analyses_registry
from metrics.kid import standard_error, unbiased_mmd
from utils.errors import MetricError
from utils.images import labelled_grid, write_png
from utils.schema import PositiveInt


@analyses_registry.add_to_registry(name="per_class")
class PerClass(Analysis):
    """Ranks the classes by the kernel distance (KID) of their generated and real images.

    KID has no bias however few images a class has, but it has noise: its standard error stands beside it, and two
    classes that differ by less are not told apart. The picture shows the ``shown`` best and worst classes.
    """

    def __init__(self, shown: PositiveInt = 5, columns: PositiveInt = 10):
        self.shown = shown
        self.columns = columns

    def prepare(self, subject: Subject) -> None:
        subject.check_labelled("per_class")

    def run(self, subject: Subject) -> Finding:
        real, fake = subject.real, subject.generated_images("per_class")
        self.prepare(subject)
        names = list(real.class_names)
        distances = class_distances(subject, real, fake)
        ranking = sorted(distances, key=lambda label: distances[label][0])
        record = {names[label]: {"kid": distances[label][0], "se": distances[label][1]} for label in ranking}
        best = ranking[: self.shown]
        worst = ranking[len(best) :][-self.shown :]
        lines = [f"best classes: {', '.join(names[label] for label in best)}"]
        lines += [f"worst classes: {', '.join(names[label] for label in worst)}"] if worst else []
        if subject.pictures:
            path = subject.pictures / "best_and_worst_classes.png"
            rows = {label: np.flatnonzero(fake.labels == label)[: self.columns] for label in best + worst}
            write_png(labelled_grid([(names[label], fake.images_at(rows[label])) for label in rows]), path)
            lines.append(f"their images: {path}")
        return Finding({"ranking": record}, lines)


def class_distances(subject: Subject, real: ImageDataset, fake: ImageDataset) -> dict[int, tuple[float, float]]:
    """Return the kernel distance and its standard error for every class with at least three images on both sides."""
    real_features, fake_features = subject.features(real), subject.features(fake, "generated")
    found = {}
    for label in range(len(real.class_names)):
        x, y = real_features[real.labels == label], fake_features[fake.labels == label]
        if min(len(x), len(y)) >= 3:
            found[label] = unbiased_mmd(x, y), standard_error(x, y)
    if not found:
        raise MetricError("per_class needs at least three images of a class on both sides: leave it out")
    return found
