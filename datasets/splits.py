"""Parts of a dataset: what is trained on, and what is held out to choose settings by."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from posixpath import splitext

import numpy as np
from torch import Tensor

from datasets.base import ImageDataset
from datasets.leaks import Leak, find_leaks
from utils.cache import fingerprint
from utils.errors import ConfigError, DataError


class Selection(ImageDataset):
    """The images of ``dataset`` at ``indices``, in this order, as a dataset of its own; all class names stay."""

    def __init__(self, dataset: ImageDataset, indices: Sequence[int]):
        self.dataset = dataset
        self.indices = np.arange(len(dataset))[np.asarray(indices, dtype=np.int64)]  # checks the range
        self.labels = None if dataset.labels is None else dataset.labels[self.indices]
        self.class_names = dataset.class_names
        self.files = [dataset.files[index] for index in self.indices]
        self.image_shape = dataset.image_shape
        self.content_key = fingerprint(dataset.content_key, self.indices.tobytes())

    def images_at(self, rows: Sequence[int]) -> Tensor:
        """Ask the dataset behind for the images of ``rows``."""
        return self.dataset.__getitems__(self.indices[np.asarray(rows, dtype=np.int64)].tolist()).images

    @property
    def pixels(self) -> Callable[[], Tensor]:
        """As the dataset behind has it; where that has none there is none here either, and ``hasattr`` says so."""
        if not hasattr(self.dataset, "pixels"):
            raise AttributeError("the pixels of this dataset do not lie in one array")
        return lambda: self.images_at(range(len(self)))


def split_dev(dataset: ImageDataset, per_class: int) -> tuple[np.ndarray, np.ndarray, list[Leak]]:
    """Hold out ``per_class`` images of each class. Returns the indices to train on and the dev indices, int64, sorted.

    See :func:`held_out` for which; unlabelled data are one class. Files that show a dev photo are in neither part: they
    are the list.
    """
    dev = held_out(dataset, per_class, setting="data.dev_per_class")
    rest = np.setdiff1d(np.arange(len(dataset)), dev)
    if len(dev) == 0:
        return rest, dev, []
    kept, leaks = drop_leaks(Selection(dataset, rest), Selection(dataset, dev))
    return rest[kept.indices], dev, leaks


def drop_leaks(dataset: ImageDataset, test_dataset: ImageDataset) -> tuple[Selection, list[Leak]]:
    """Return ``dataset`` without the files that show a photo of ``test_dataset``, and the list of these files."""
    leaks = find_leaks(dataset, test_dataset)
    leaked = {leak.train_file for leak in leaks}
    return Selection(dataset, [i for i, file in enumerate(dataset.files) if file not in leaked]), leaks


def held_out(dataset: ImageDataset, per_class: int, setting: str) -> np.ndarray:
    """Choose ``per_class`` images of each class by the hash of their name without suffix; int64 indices, sorted.

    So the choice is the same for every seed, and for the same photos as JPEG or PNG; and a file that comes or goes
    changes its own class only, by one image at most. Raises ``DataError`` when a class would have none left.
    """
    if per_class < 0:
        raise ConfigError(f"{setting}={per_class} should be at least 0")
    labels = np.zeros(len(dataset), dtype=np.int64) if dataset.labels is None else dataset.labels
    ranks = [(blake2b(splitext(file)[0].encode(errors="surrogateescape")).digest(), file) for file in dataset.files]
    chosen: list[int] = []
    for label in np.unique(labels) if per_class else []:
        members = sorted(np.flatnonzero(labels == label).tolist(), key=ranks.__getitem__)
        if len(members) <= per_class:
            name = dataset.class_names[label] if dataset.class_names else "the folder"
            raise DataError(
                f"{name} has {len(members)} images, none is left when {per_class} are held out: lower {setting}"
            )
        chosen += members[:per_class]
    return np.sort(np.asarray(chosen, dtype=np.int64))
