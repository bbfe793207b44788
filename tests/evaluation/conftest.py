"""What the tests of evaluation share: mean colours as features, and folders of random pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from evaluation.folders import InMemory
from metrics.features import FeatureSpec
from metrics.fid import FID
from metrics.judge import Judge
from metrics.prdc import PRDC
from metrics.registry import features_registry
from tests.fid_weights import random_weights, torch_home  # noqa: F401

CLASSES = ["cake", "soup"]


class Colours(nn.Module):
    """The mean of each channel, as often as ``dims`` asks."""

    choices = (3, 64)
    batch_size = {"cpu": 64}
    preprocessing = "none"
    weights_hash = "none"

    def __init__(self, dims: int = 3, weights_path: str | None = None):
        super().__init__()
        self.dims = dims

    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean((2, 3)).repeat(1, 22)[:, : self.dims]


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """An empty cache folder for each test, and the colours as features."""
    monkeypatch.setenv("MISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(features_registry.classes, "colours", Colours)


@pytest.fixture
def judge() -> Judge:
    fid = FID()
    fid.features = FeatureSpec("colours", 3)
    return Judge({"fid": fid, "prdc": PRDC(k=2)})


def pictures(per_class: list[int], seed: int, size: int = 8, shift: int = 0) -> InMemory:
    """Random pictures, each with a tint of its own, as many of each class as ``per_class`` says."""
    rng = np.random.default_rng(seed)
    count = sum(per_class)
    tint = rng.integers(0, 100, (count, 3, 1, 1)) + shift
    images = torch.from_numpy((tint + rng.integers(0, 100, (count, 3, size, size))).astype(np.uint8))
    labels = torch.from_numpy(np.repeat(np.arange(len(per_class)), per_class))
    return InMemory(images, labels, CLASSES[: len(per_class)], f"{per_class} {seed} {size} {shift}")


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Write a dataset into class folders, or flat where ``flat`` says so."""

    def write(dataset: InMemory, name: str, flat: bool = False) -> Path:
        for row, label in enumerate(dataset.labels):
            folder = tmp_path / name if flat else tmp_path / name / dataset.class_names[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(dataset.images[row].permute(1, 2, 0).numpy()).save(folder / f"{row:03d}.png")
        return tmp_path / name

    return write
