"""How a run of the zoo is looked at: what inference.py is asked for, and the picture of it that stands on the page.

No picture shows a photo of the data set, or what an autoencoder makes of one, which is as good as the photo.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datasets.synthetic import Synthetic
from models.autoencoders.export import read_autoencoder
from utils.images import NAME_WIDTH, labelled_grid, to_float, to_hwc, to_uint8

CLASSES = ["caesar_salad", "chocolate_cake", "french_fries", "pizza", "spaghetti_bolognese", "sushi"]
DRAWN = ["burger", "pizza", "sushi"]  # of the dishes that this project draws itself
COLUMNS = 6  # pictures in a row
LARGEST = 110_000  # bytes of a picture
CELL = 3  # pixels of a count in a table of confusions


@dataclass(frozen=True)
class Look:
    """What a run is trained with beside its row, what its study is asked for, and the picture of what that wrote."""

    training: tuple[str, ...]
    study: tuple[str, ...]
    picture: Callable[[Path], bytes]  # the folder of the study to a PNG of at most LARGEST bytes


def class_grid(folder: Path) -> bytes:
    """Return the grid that the study ``sample`` wrote, a row for each class."""
    return packed(Image.open(folder / "grid.png"))


def dishes_read_back(folder: Path) -> bytes:
    """Return drawn dishes above what the autoencoder makes of them: it was shown photos, and never such a drawing."""
    network, described = read_autoencoder(folder / "autoencoder.safetensors")
    drawn, rows = Synthetic("val", described["arguments"]["image_size"], num_images=200), []
    for name in DRAWN:
        images = drawn.images_at(np.flatnonzero(drawn.labels == drawn.class_names.index(name))[:COLUMNS])
        with torch.no_grad():
            rows += [(name, images), ("read back", to_uint8(network.eval()(to_float(images)).images))]
    return packed(Image.fromarray(to_hwc(labelled_grid(rows))))


def confusions(folder: Path) -> bytes:
    """Return ``confusion.csv`` as a picture: a row for what is shown, a column for what is named, black for all of it.

    Grey follows the root of the share, so that rare mistakes can be seen.
    """
    with (folder / "confusion.csv").open(newline="") as file:
        counts = np.array([row[1:] for row in list(csv.reader(file))[1:]], dtype=np.float64)  # [K, K]
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    grey = (255 * (1 - np.sqrt(shares))).round().astype(np.uint8)
    return png(Image.fromarray(grey.repeat(CELL, axis=0).repeat(CELL, axis=1)))


def packed(sheet: Image.Image) -> bytes:
    """Return a labelled grid of ``COLUMNS`` columns as PNG, with as many of them as ``LARGEST`` bytes hold."""
    column = (sheet.width - NAME_WIDTH) // COLUMNS
    for columns in range(COLUMNS, 0, -1):
        data = png(sheet.crop((0, 0, NAME_WIDTH + columns * column, sheet.height)))
        if len(data) <= LARGEST:
            break
    return data


def png(sheet: Image.Image) -> bytes:
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


SOME = (f"inference.classes=[{','.join(CLASSES)}]", f"inference.num_images={COLUMNS * len(CLASSES)}")
LOOKS = {  # by the study of a config
    "sample": Look(("train.val_num_images=8",), (*SOME, "train.val_metrics=[]"), class_grid),
    "reconstruct": Look((), ("train.val_metrics=[psnr,ssim]",), dishes_read_back),
    "classify": Look((), ("train.val_metrics=[classification]",), confusions),
}
