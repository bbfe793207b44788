"""A folder of images: class folders, or flat and unlabelled. The other stored datasets are made from it."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.base import ImageDataset
from datasets.decoding import is_image_name, read_image
from datasets.parallel import map_chunks
from datasets.registry import datasets_registry
from utils.cache import cached_json, fingerprint
from utils.errors import ConfigError, DataError, did_you_mean

logger = logging.getLogger(__name__)


@dataclass
class Listing:
    """The image files of a folder, class by class and by name; not one of them opened."""

    class_names: list[str] = field(default_factory=list)  # sorted; []: flat
    files: list[str] = field(default_factory=list)  # relative posix paths
    labels: list[int] = field(default_factory=list)  # class of each file; -1: flat
    stamps: list[tuple[int, int]] = field(default_factory=list)  # size in bytes, time of last change in ns
    ignored: int = 0  # hidden entries and files that are not meant to be images
    unknown: Counter[str] = field(default_factory=Counter)  # of the ignored, how many that are not hidden, by suffix

    def key(self) -> str:
        """Fingerprint of names, sizes and times. A file replaced without changing any of them goes unnoticed."""
        return fingerprint(*self.class_names, *self.files, np.asarray(self.stamps, dtype=np.int64).tobytes())

    def without(self, files: Sequence[str]) -> "Listing":
        """Return the listing less these files; an error when a class loses its last."""
        leave = set(files)
        keep = [i for i, file in enumerate(self.files) if file not in leave]
        pick = [[values[i] for i in keep] for values in (self.files, self.labels, self.stamps)]
        emptied = set(self.labels) - set(pick[1])
        if emptied:
            name = self.class_names[min(emptied)] if self.class_names else "the folder"
            raise DataError(f"no image of {name} can be read: replace or remove it")
        return Listing(self.class_names, *pick, self.ignored)

    def of_classes(self, names: Sequence[str]) -> "Listing":
        """Return the listing of these classes alone. Raises ``ConfigError`` for one that is not there."""
        for name in names:
            if name not in self.class_names:
                raise ConfigError(f"dataset_args.classes: no class '{name}'.{did_you_mean(name, self.class_names)}")
        kept = sorted(set(names))
        new_label = {self.class_names.index(name): label for label, name in enumerate(kept)}
        rows = [row for row, label in enumerate(self.labels) if label in new_label]
        files, stamps = [self.files[row] for row in rows], [self.stamps[row] for row in rows]
        return Listing(kept, files, [new_label[self.labels[row]] for row in rows], stamps, self.ignored)


def list_images(root: Path) -> Listing:
    """List a folder of class folders (or a flat one). Raises ``DataError`` when it is neither, or holds no images."""
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: `python3 -m datasets.prepare` makes one, or name your own")
    listing = Listing()
    folders = _add_files(listing, root, prefix="", label=-1)
    if folders and listing.files:
        raise DataError(
            f"{root} mixes images ({listing.files[0]}) with folders ({folders[0]}): move them into class folders"
        )
    for label, name in enumerate(folders):
        before = len(listing.files)
        deeper = _add_files(listing, root / name, prefix=f"{name}/", label=label)
        if deeper:
            raise DataError(f"{root / name} holds a folder, {deeper[0]}: a class folder holds images only")
        if len(listing.files) == before:
            raise DataError(f"{root / name} holds no images: fill or remove this class folder")
    if not listing.files:
        raise DataError(f"{root} holds no images: it should hold class folders with images, or images")
    listing.class_names = folders
    return listing


def _add_files(listing: Listing, folder: Path, prefix: str, label: int) -> list[str]:
    """Add the images right inside ``folder`` to the listing, sorted by name; return the sorted names of its folders."""
    folders = []
    try:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if not entry.name.startswith(".") and entry.is_dir():
                folders.append(entry.name)
            elif not entry.name.startswith(".") and is_image_name(entry.name):
                stat = entry.stat()
                listing.files.append(prefix + entry.name)
                listing.labels.append(label)
                listing.stamps.append((stat.st_size, stat.st_mtime_ns))
            else:
                listing.ignored += 1
                listing.unknown.update([] if entry.name.startswith(".") else [Path(entry.name).suffix or "no suffix"])
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read ({error.strerror}): mend or remove it") from error
    return folders


def find_bad_images(root: Path, listing: Listing, size: int) -> list[str]:
    """Decode every file once and return those that cannot be read; the answer is kept in the cache folder."""

    def bad(rows: range) -> list[str]:
        return [listing.files[row] for row in rows if not _readable(root / listing.files[row], size)]

    def compute() -> list[str]:
        return [file for found in map_chunks(bad, len(listing.files), "checking images") for file in found]

    return cached_json("bad_images", fingerprint("1", listing.key(), size), compute)


def _readable(path: Path, size: int) -> bool:
    try:
        read_image(path, size)
    except ValueError:
        return False
    return True


@datasets_registry.add_to_registry(name="base_dataset")
class ImageFolder(ImageDataset):
    """Images decoded when asked for. ``root`` holds a folder for each class, or images only: then there are no labels.

    Images of another size than ``image_size`` are resized by the shorter side and centre-cropped; all become RGB.
    Hidden entries and files without an image suffix are ignored (``ignored`` counts them); of the latter a warning.

    ``on_bad_image="error"``: an unreadable file is a ``DataError`` when its turn comes. ``"skip"``: the first time all
    files are decoded once, and those that cannot be read are left out from the start (``bad_files``, and a warning),
    so that none can turn up in the middle of training; the answer is kept in the cache until the folder changes.

    ``classes``: only these class folders; empty: all.
    """

    def __init__(
        self,
        root: str,
        image_size: int = 64,
        on_bad_image: Literal["error", "skip"] = "error",
        classes: list[str] = [],  # noqa: B006 (only read)
    ):
        if image_size < 1:
            raise ConfigError(f"image_size is {image_size}: it should be at least 1")
        self.root = Path(root)
        listing = list_images(self.root)
        if listing.unknown:
            kinds = ", ".join(f"{count} {suffix}" for suffix, count in listing.unknown.most_common(5))
            logger.warning("%s: left out %d files, by suffix no images: %s", root, listing.unknown.total(), kinds)
        listing = listing.of_classes(classes) if classes else listing
        self.bad_files = find_bad_images(self.root, listing, image_size) if on_bad_image == "skip" else []
        if self.bad_files:
            listing = listing.without(self.bad_files)
            logger.warning("%s: left out %d unreadable: %s", root, len(self.bad_files), ", ".join(self.bad_files[:20]))
        self.class_names = listing.class_names
        self.files = listing.files
        self.labels = np.asarray(listing.labels, dtype=np.int64) if listing.class_names else None
        self.ignored = listing.ignored
        self.content_key = listing.key()
        self.image_shape = (3, image_size, image_size)

    def picture(self, row: int) -> Image.Image:
        """Decode one image as a Pillow image in RGB. Raises ``DataError`` naming the file when it cannot be read."""
        try:
            return read_image(self.root / self.files[row], self.image_shape[-1])
        except ValueError as error:
            fix = "replace or delete it, or leave it out by on_bad_image=skip (in a config: data.on_bad_image=skip)"
            raise DataError(f"{error}: {fix}") from error

    def images_at(self, rows: Sequence[int]) -> Tensor:
        """Decode the images of ``rows``; errors as :meth:`picture`."""
        images = np.empty((len(rows), *self.image_shape), dtype=np.uint8)
        for image, row in zip(images, rows):
            image[...] = np.asarray(self.picture(row)).transpose(2, 0, 1)
        return torch.from_numpy(images)
