"""Pictures that the program draws itself, so that a first run needs no download: ten dishes, endlessly varied."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from datasets.base import ImageDataset
from datasets.drawing.canvas import Canvas
from datasets.drawing.dishes import DISHES
from datasets.registry import datasets_registry
from utils.errors import ConfigError
from utils.schema import PositiveInt
from utils.seeding import derive_seed

DRAWING_VERSION = 2  # raise it whenever a picture changes: whatever was computed from the old ones is then stale
SMALLEST = 8  # pixels a side


def draw_dish(name: str, rng: np.random.Generator, image_size: int) -> ndarray:
    """Draw one picture of the dish: uint8 [3, H, W]. The same generator draws the same picture at every size."""
    dish = DISHES[name]
    canvas = Canvas(image_size, light=rng.uniform(-2.4, -0.7))  # from above, left or right
    x, y = rng.uniform(-0.08, 0.08, 2)
    canvas.place(x, y, rng.uniform(0.9, 1.04), rng.uniform(-dish.turn, dish.turn))
    dish.scene(canvas, rng)
    dish.draw(canvas, rng)
    return photographed(canvas, rng)


def photographed(canvas: Canvas, rng: np.random.Generator) -> ndarray:
    """Take the photo, uint8 [3, H, W]: light falling off across the picture, a trace of blur, a trace of noise."""
    picture = canvas.finished(blur=rng.uniform(0, 0.5))  # [H, W, 3]
    side = np.linspace(-1, 1, len(picture), dtype=np.float32)
    across = canvas.sun[0] * side[None, :] + canvas.sun[1] * side[:, None]  # [H, W]
    light = rng.uniform(0.92, 1.06) + rng.uniform(0.02, 0.12) * across
    noise = 1.5 * rng.standard_normal(picture.shape, dtype=np.float32)  # grey levels
    return (picture * light[..., None] + noise).round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1)


@datasets_registry.add_to_registry(name="synthetic")
class Synthetic(ImageDataset):
    """``num_images`` drawn dishes, every class equally often (to one image), each drawn when first asked for and kept.

    Image i of a split is a function of (split, i, image_size) alone; the two splits draw from different streams.
    """

    def __init__(self, split: Literal["train", "val"] = "train", image_size: int = 64, num_images: PositiveInt = 4000):
        if split not in ("train", "val"):
            raise ConfigError(f"synthetic draws the splits train and val, not '{split}'")
        if image_size < SMALLEST:
            raise ConfigError(f"synthetic draws at {SMALLEST} pixels or more, not {image_size}: raise data.image_size")
        if num_images < 1:
            raise ConfigError(f"num_images is {num_images}: synthetic needs at least 1")
        self.split = split
        self.class_names: list[str] = sorted(DISHES)
        self.labels = np.arange(num_images, dtype=np.int64) % len(self.class_names)  # [N]
        self.files = [f"{self.class_names[label]}/{index:06d}" for index, label in enumerate(self.labels)]
        self.image_shape = (3, image_size, image_size)
        settings = ("synthetic", DRAWING_VERSION, split, image_size, num_images, *self.class_names)
        self.content_key = blake2b(repr(settings).encode(), digest_size=8).hexdigest()
        self.images = np.empty((num_images, *self.image_shape), dtype=np.uint8)  # filled as it is asked for
        self.drawn = np.zeros(num_images, dtype=bool)

    def images_at(self, rows: Sequence[int]) -> Tensor:
        """Return uint8 [N, 3, H, W], drawing those that nobody asked for before."""
        rows = np.asarray(rows, dtype=np.int64) % len(self)  # -1 is the last image
        for row in np.unique(rows[~self.drawn[rows]]):
            self.images[row] = self.draw(int(row))
            self.drawn[row] = True
        return torch.from_numpy(self.images[rows])

    def pixels(self) -> Tensor:
        """Return every image, uint8 [N, 3, H, W]."""
        return self.images_at(range(len(self)))

    def draw(self, row: int) -> ndarray:
        """Draw one image, uint8 [3, H, W]."""
        rng = np.random.default_rng(derive_seed("synthetic", self.split, row))
        return draw_dish(self.class_names[self.labels[row]], rng, self.image_shape[-1])
