"""The floor: what a perfect generator would get. FID is biased upwards for few images, and that is most of a low one.

Sets of training photos, as large as the reference and with its classes, are judged as if they had been generated. The
bias of the small sample is additive (Chong & Forsyth 2020, "Effectively Unbiased FID and Inception Score"), so a
model is compared by its excess, value - floor.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from datasets.base import ImageDataset
from evaluation.analysis import Analysis, Finding, Subject
from evaluation.folders import class_counts
from evaluation.registry import analyses_registry
from metrics.features import ImageSet
from metrics.judge import Judge
from utils.errors import MetricError
from utils.schema import NonNegativeInt, PositiveInt
from utils.seeding import derive_seed


@dataclass(frozen=True)
class Spread:
    """A result measured several times."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def std(self) -> float | None:
        """The standard deviation (n - 1 in the denominator); None of a single value."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


def spreads(results: Sequence[dict[str, float]]) -> dict[str, Spread]:
    """Turn the results of several evaluations into the spread of each."""
    return {name: Spread(tuple(result[name] for result in results)) for name in results[0]}


@analyses_registry.add_to_registry(name="floor")
class Floor(Analysis):
    """Judges ``draws`` sets of training photos against the reference: what a perfect generator would get."""

    sees_generated = False

    def __init__(self, draws: PositiveInt = 5, seed: NonNegativeInt = 0):
        self.draws = draws
        self.seed = seed

    def prepare(self, subject: Subject) -> None:
        draw_like(subject.real, subject.training_images("floor"), self.draws, self.seed)

    def run(self, subject: Subject) -> Finding:
        train = subject.training_images("floor")
        floor = measure_floor(subject.judge, subject.real, train, self.draws, self.seed)
        record = {
            "results": {name: {"mean": it.mean, "std": it.std, **asdict(it)} for name, it in floor.items()},
            "draws": self.draws,
            "seed": self.seed,
            "disjoint": are_disjoint(subject.real, train, self.draws),
            "drawn_from_images": len(train),
            "drawn_from_content": train.content_key,
        }
        return Finding(record)


def measure_floor(judge: Judge, real: ImageDataset, train: ImageDataset, draws: int, seed: int) -> dict[str, Spread]:
    """Return the spread of every result over ``draws`` sets of ``train``, each judged against ``real``."""
    reference = ImageSet.of(real)
    sets = (ImageSet.of(train, rows) for rows in draw_like(real, train, draws, seed))
    return spreads([judge.evaluate(reference, drawn) for drawn in sets])


def draw_like(real: ImageDataset, train: ImageDataset, draws: int, seed: int) -> list[np.ndarray]:
    """Choose rows of ``train``, int64 and sorted, for sets as large as ``real`` and with its classes.

    No image is drawn twice, in one set or in two, as long as every class has enough: see :func:`are_disjoint`.
    Raises ``MetricError`` when a class has fewer images than one set takes, or the classes are not the same.
    """
    if list(real.class_names) != list(train.class_names):
        raise MetricError("the floor needs training images of the reference's classes: these are others")
    wanted, have = class_counts(real), class_counts(train)
    short = np.flatnonzero(have < wanted)
    if len(short):
        name = real.class_names[short[0]] if real.class_names else "the folder"
        wants = f"the floor takes {wanted[short[0]]} training images of {name}, there are {have[short[0]]}"
        raise MetricError(f"{wants}: name a larger training folder, or leave it out")
    rng = np.random.default_rng(derive_seed(seed, "floor"))
    labels = np.zeros(len(train), dtype=np.int64) if train.labels is None else np.asarray(train.labels)
    chosen: list[list[np.ndarray]] = [[] for _ in range(draws)]
    for label, count in enumerate(wanted):
        members = np.flatnonzero(labels == label)
        for rows, part in zip(chosen, portions(members, int(count), draws, rng)):
            rows.append(part)
    return [np.sort(np.concatenate(rows)) for rows in chosen]


def portions(members: np.ndarray, count: int, draws: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw ``count`` of ``members`` as often as ``draws``: disjoint portions where there are enough, else afresh."""
    if count * draws <= len(members):
        return np.split(rng.permutation(members)[: count * draws], draws)
    return [rng.permutation(members)[:count] for _ in range(draws)]


def are_disjoint(real: ImageDataset, train: ImageDataset, draws: int) -> bool:
    """Tell whether ``draws`` sets share no image: only then is their spread that of independent sets."""
    return bool((class_counts(real) * draws <= class_counts(train)).all())
