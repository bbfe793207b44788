"""Pictures that the program draws itself, so that a first run needs no download: ten dishes, endlessly varied."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from datasets.canvas import Canvas
from datasets.dishes import DISHES
from datasets.registry import datasets_registry
from utils.batch import Batch
from utils.errors import ConfigError
from utils.seeding import derive_seed

DRAWING_VERSION = 1  # raise it whenever a picture changes: whatever was computed from the old ones is then stale
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
    across = canvas.light[0] * side[None, :] + canvas.light[1] * side[:, None]  # [H, W]
    light = rng.uniform(0.92, 1.06) + rng.uniform(0.02, 0.12) * across
    noise = rng.normal(0, 1.5, picture.shape)  # grey levels
    return (picture * light[..., None] + noise).round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1)


@datasets_registry.add_to_registry(name="synthetic")
class Synthetic:
    """``num_images`` drawn dishes, every class equally often (to one image), each drawn when first asked for and kept.

    Image i of a split is a function of (split, i, image_size) alone; the two splits draw from different streams.
    """

    def __init__(self, split: Literal["train", "val"] = "train", image_size: int = 64, num_images: int = 4000):
        if split not in ("train", "val"):
            raise ConfigError(f"synthetic draws the splits train and val, not '{split}'")
        if image_size < SMALLEST:
            raise ConfigError(f"synthetic draws at {SMALLEST} pixels or more, not {image_size}: raise data.image_size")
        if num_images < 1:
            raise ConfigError(f"dataset_args.num_images is {num_images}: synthetic needs at least 1")
        self.split = split
        self.class_names: list[str] = sorted(DISHES)
        self.labels = np.arange(num_images, dtype=np.int64) % len(self.class_names)  # [N]
        self.files = [f"{self.class_names[label]}/{index:06d}" for index, label in enumerate(self.labels)]
        self.image_shape = (3, image_size, image_size)
        settings = ("synthetic", DRAWING_VERSION, split, image_size, num_images, *self.class_names)
        self.content_key = blake2b(repr(settings).encode(), digest_size=8).hexdigest()
        self.images = torch.empty((num_images, *self.image_shape), dtype=torch.uint8)  # filled as it is asked for
        self.drawn = np.zeros(num_images, dtype=bool)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return the image, uint8 [3, H, W], and its label."""
        index = range(len(self))[index]  # an IndexError ends a for loop; -1 is the last image
        if not self.drawn[index]:
            rng = np.random.default_rng(derive_seed("synthetic", self.split, index))
            picture = draw_dish(self.class_names[self.labels[index]], rng, self.image_shape[-1])
            self.images[index] = torch.from_numpy(picture)
            self.drawn[index] = True
        return self.images[index], int(self.labels[index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the images at ``indices`` as one batch: uint8 [N, 3, H, W] and int64 labels [N]."""
        images = torch.stack([self[index][0] for index in indices])
        return Batch(images, torch.from_numpy(self.labels[list(indices)]))
