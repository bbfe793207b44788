"""Folders of images as they must be before they are compared, and what is refused."""

from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.base import ImageDataset
from datasets.image_folder import ImageFolder, find_bad_images, list_images
from datasets.parallel import map_chunks
from utils.cache import fingerprint
from utils.errors import DataError, MetricError
from utils.images import to_hwc

NAMED = 10  # files that a message names at most
LOSSLESS_FORMATS = ("PNG", "BMP", "PPM")  # Pillow's names; WebP and TIFF do not say whether they lost anything


def open_folder(root: str, key: str) -> ImageFolder:
    """Open a folder (class folders, or flat) whose images are compared as they are: nothing is resized.

    Raises ``DataError`` when it is missing or empty, an image cannot be read, or they are not all square and of one
    size.
    """
    if not root:
        raise DataError(f"{key}=DIR is missing: name a folder of images")
    path = Path(root)
    listing = list_images(path)
    side = one_size(path, listing.files)
    bad = find_bad_images(path, listing, side)
    if bad:
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise DataError(f"{path}: {', '.join(bad[:NAMED])}{more} cannot be read as images: replace or delete them")
    return ImageFolder(str(path), side)


def one_size(root: Path, files: Sequence[str]) -> int:
    """Return the side of all images, in pixels. Raises ``DataError`` naming one that differs; opens only headers."""
    sizes = [size for part in map_chunks(lambda rows: [size_of(root / files[row]) for row in rows], len(files), "sizes")
             for size in part]  # fmt: skip
    common = Counter(size for size in sizes if size).most_common(1)
    width, height = common[0][0] if common else (1, 1)
    for file, size in zip(files, sizes):
        if size and size != (width, height):
            found = f"{size[0]}x{size[1]} pixels, most others {width}x{height}"
            raise DataError(f"{root / file} has {found}: make all of one size, nothing is resized here")
    if width != height:
        raise DataError(f"{root}: {width}x{height} pixels are not square: `python3 -m datasets.prepare` crops")
    return width


def size_of(path: Path) -> tuple[int, int] | None:
    """Return width and height; None for what is no image, which is found out later with the truncated ones."""
    try:
        with Image.open(path) as image:
            return image.size
    except Exception:  # Pillow's readers raise nearly everything
        return None


def check_lossless(images: ImageFolder) -> None:
    """Raise ``MetricError`` when generated images went through a file that changes pixels, whatever it is called."""
    for file in images.files:
        with Image.open(images.root / file) as image:
            if image.format not in LOSSLESS_FORMATS:
                raise MetricError(
                    f"{images.root / file} is a {image.format} file, which may have changed the pixels: generate PNG, "
                    f"or set protocol=jpeg, which saves both sides as JPEG"
                )


def check_comparable(real: ImageDataset, fake: ImageDataset) -> None:
    """Raise ``MetricError`` when sizes, counts or the distribution of classes differ."""
    if real.image_shape != fake.image_shape:
        sides = real.image_shape[-1], fake.image_shape[-1]
        raise MetricError(f"real images have {sides[0]} pixels a side, generated ones {sides[1]}: generate {sides[0]}")
    if len(real) != len(fake):
        raise MetricError(f"{len(fake)} generated images, {len(real)} real: FID depends on it, generate {len(real)}")
    if real.labels is None or fake.labels is None:
        return
    wanted, found = counts_by_class(real), counts_by_class(fake)
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name, 0) != found.get(name, 0):
            raise MetricError(
                f"{found.get(name, 0)} generated images of {name}, {wanted.get(name, 0)} real: "
                f"generate the reference's classes, or lay the images flat if the model is unconditional"
            )


def class_counts(dataset: ImageDataset) -> np.ndarray:
    """Return the number of images of each class, int64 [classes]; unlabelled data are one class."""
    if dataset.labels is None:
        return np.array([len(dataset)])
    return np.bincount(dataset.labels, minlength=len(dataset.class_names))


def counts_by_class(dataset: ImageDataset) -> dict[str, int]:
    """Return the number of images of each class by its name; empty for unlabelled data."""
    return {} if dataset.labels is None else dict(zip(dataset.class_names, class_counts(dataset).tolist()))


class InMemory(ImageDataset):
    """Generated images, uint8 [N, C, H, W], and their labels [N] or None, as a dataset."""

    def __init__(self, images: Tensor, labels: Tensor | None, class_names: Sequence[str], key: str):
        self.images = images
        self.labels = None if labels is None else labels.numpy()
        self.class_names = [] if labels is None else list(class_names)
        self.files = [f"{index:05d}" for index in range(len(images))]
        self.image_shape = tuple(images.shape[1:])
        self.content_key = key

    def images_at(self, rows: Sequence[int]) -> Tensor:
        return self.images[torch.as_tensor(np.asarray(rows))].clone()


class SavedAsJpeg(ImageDataset):
    """A dataset whose images went through a JPEG file, as torchvision's ``save_image`` writes it (Pillow's default).

    Several public results on this task were measured so, on both sides. The loss is a blur that the features notice:
    such a number is another protocol's.
    """

    QUALITY = 75  # Pillow's default, with its 4:2:0 chroma

    def __init__(self, dataset: ImageDataset):
        self.dataset = dataset
        self.labels, self.class_names, self.files = dataset.labels, dataset.class_names, dataset.files
        self.image_shape = dataset.image_shape
        self.content_key = fingerprint("jpeg", self.QUALITY, dataset.content_key)

    def images_at(self, rows: Sequence[int]) -> Tensor:
        return torch.stack([self.resaved(image) for image in self.dataset.images_at(rows)])

    def resaved(self, image: Tensor) -> Tensor:
        """Encode and decode one image, uint8 [3, H, W]."""
        file = BytesIO()
        Image.fromarray(to_hwc(image)).save(file, "JPEG", quality=self.QUALITY)
        return torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1)
