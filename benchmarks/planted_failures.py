"""What each metric sees: sets of real photos with a planted fault, judged as if they had been generated.

    python3 -m benchmarks.planted_failures train=DIR test=DIR [key=value ...]

Every set is drawn from the training photos (less those that show a test photo) and is as large as the test set.
dims=2048 and weights=FILE choose FID's features (see metrics_args.fid), classifier=FILE adds class fidelity, size=64
pixels a side, seed=0, out=FILE.json keeps the table. On 2 CPU cores about 20 minutes; features are kept, so that a
second time takes two.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from benchmarks.gaussian_baseline import default_device
from datasets.base import ImageDataset
from datasets.packed import Packed
from datasets.splits import Selection, drop_leaks
from evaluation.analysis import Subject
from evaluation.class_fidelity import ClassFidelity
from evaluation.floor import draw_like
from evaluation.folders import SavedAsJpeg
from evaluation.tables import aligned, figures, number
from metrics.features import ImageSet
from metrics.fid import FID
from metrics.judge import Judge
from metrics.kid import KID
from metrics.prdc import PRDC
from utils.cache import fingerprint
from utils.command import command_of
from utils.files import whole_file
from utils.schema import NonNegativeInt, PositiveInt, section
from utils.seeding import derive_seed, generator_for

NOISE = 16  # grey levels, the standard deviation of the planted noise


@section
class Settings:
    """What the command takes."""

    train: str
    test: str
    dims: Literal[64, 192, 768, 2048] = 2048
    weights: str | None = None
    size: PositiveInt = 64
    seed: NonNegativeInt = 0
    classifier: str | None = None
    out: str | None = None


@command_of(Settings)
def main(settings: Settings) -> None:
    judge = Judge({"fid": FID(settings.dims, settings.weights), "kid": KID(), "prdc": PRDC()}, default_device())
    judge.prepare()
    test = Packed(settings.test, settings.size)
    train, _ = drop_leaks(Packed(settings.train, settings.size), test)
    results = {}
    for name, planted in plant(train, test, settings.seed).items():
        results[name] = judge.evaluate(ImageSet.of(test), ImageSet.of(planted))
        if settings.classifier:
            found = ClassFidelity(settings.classifier).run(Subject(test, judge, planted)).record
            results[name] |= {key: found[key] for key in ("fidelity", "recognised")}
        print(f"{name}: {results[name]}", file=sys.stderr)
    print(table(results))
    if settings.out:
        with whole_file(Path(settings.out).expanduser()) as file:
            json.dump({"results": results, "seed": settings.seed, "origin": judge.provenance()}, file, indent=2)


def plant(train: ImageDataset, test: ImageDataset, seed: int) -> dict[str, ImageDataset]:
    """Return sets with a planted fault, by what is wrong with them, each as large as ``test``."""
    rows = draw_like(test, train, draws=1, seed=seed)[0]
    photos = Selection(train, rows)
    sets: dict[str, ImageDataset] = {"nothing (training photos)": photos}
    for remain in (50, 25, 10):
        if remain < len(train.class_names):
            sets[f"{remain} of {len(train.class_names)} classes remain"] = few_classes(train, test, remain, seed)
    quarter = rows[::4][: len(rows) // 4]
    sets[f"{len(quarter)} images, four times each"] = Selection(train, np.resize(quarter, len(rows)))
    sets["blurred to half the resolution"] = Changed(photos, "blurred", lambda images, _: blurred(images))
    sets[f"noise of {NOISE} grey levels"] = Changed(
        photos, f"noise {NOISE} {seed}", lambda images, at: noisy(images, at, seed)
    )
    sets["saved again as JPEG"] = SavedAsJpeg(photos)
    return sets


def few_classes(train: ImageDataset, test: ImageDataset, remain: int, seed: int) -> Selection:
    """Choose images of ``remain`` classes only, which lie evenly among all and have as many images each as can be.

    The labels are the test set's: what was asked for. A remaining class is shown where it was asked for, and in place
    of classes that are missing.
    """
    rng = np.random.default_rng(derive_seed(seed, "few classes", remain))
    classes = np.linspace(0, len(train.class_names) - 1, remain).round().astype(int)
    sizes = np.diff(np.linspace(0, len(test), remain + 1).round().astype(int))
    members = [rng.permutation(np.flatnonzero(train.labels == label))[:size] for label, size in zip(classes, sizes)]
    missing = list(np.sort(test.labels[~np.isin(test.labels, classes)]))
    asked = []
    for label, rows in zip(classes, members):
        own = int((test.labels == label).sum())
        asked += [label] * own + [missing.pop() for _ in rows[own:]]
    chosen = Selection(train, np.concatenate(members))
    chosen.labels = np.array(asked)
    return chosen


class Changed(ImageDataset):
    """A dataset whose images are changed by ``change(images, rows)``; ``name`` tells one change from another."""

    def __init__(self, dataset: ImageDataset, name: str, change: Callable[[Tensor, Sequence[int]], Tensor]):
        self.dataset, self.change = dataset, change
        self.labels, self.class_names, self.files = dataset.labels, dataset.class_names, dataset.files
        self.image_shape = dataset.image_shape
        self.content_key = fingerprint(name, dataset.content_key)

    def images_at(self, rows: Sequence[int]) -> Tensor:
        return self.change(self.dataset.images_at(rows), rows)


def blurred(images: Tensor) -> Tensor:
    """Halve uint8 images [N, C, H, W] and enlarge them again."""
    height, width = images.shape[-2:]
    return resize(resize(images, [height // 2, width // 2], antialias=True), [height, width], antialias=True)


def noisy(images: Tensor, rows: Sequence[int], seed: int) -> Tensor:
    """Add Gaussian noise, of each image's own stream, to uint8 images [N, C, H, W]."""
    noise = [torch.randn(images.shape[1:], generator=generator_for(seed, "planted noise", int(row))) for row in rows]
    return (images + NOISE * torch.stack(noise)).round().clamp(0, 255).to(torch.uint8)


def table(results: dict[str, dict[str, float]]) -> str:
    """Lay the results out, a set a line."""
    names = figures(next(iter(results.values())))
    lines = [[planted, *(number(found[name]) for name in names)] for planted, found in results.items()]
    return aligned([["planted", *names], *lines])


if __name__ == "__main__":
    main()
