"""Small folders of images, made by the tests."""

import numpy as np
import pytest
from PIL import Image


def photo(seed: int, size: int = 16) -> Image.Image:
    """A picture with large shapes and full contrast; every seed another."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def make_folder(tmp_path):
    """Return a function that makes a folder with photos: ``make_folder("train", {"pizza": 3, "soup": 2})``."""

    def make(name, classes, size=16, first_seed=0, suffix=".png"):
        seed = first_seed
        for class_name, number in classes.items():
            (tmp_path / name / class_name).mkdir(parents=True, exist_ok=True)
            for i in range(number):
                photo(seed, size).save(tmp_path / name / class_name / f"{i}{suffix}")
                seed += 1
        return tmp_path / name

    return make
