"""Planted failures are what their names say."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import planted_failures
from benchmarks.planted_failures import NOISE, blurred, few_classes, noisy, plant
from evaluation.folders import InMemory


def photos(per_class: int, classes: int, size: int = 8, seed: int = 0) -> InMemory:
    images = torch.randint(0, 256, (per_class * classes, 3, size, size), generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(classes).repeat_interleave(per_class)
    names = [f"class {label:02d}" for label in range(classes)]
    return InMemory(images.to(torch.uint8), labels, names, f"{per_class} {classes} {size} {seed}")


def test_every_set_is_as_large_as_the_test_set():
    train, test = photos(per_class=30, classes=60), photos(per_class=4, classes=60, seed=1)
    sets = plant(train, test, seed=0)
    assert {len(planted) for planted in sets.values()} == {240}
    assert len({planted.content_key for planted in sets.values()}) == len(sets) == 8
    repeated = next(planted for name, planted in sets.items() if "four times each" in name)
    assert np.unique(repeated.indices, return_counts=True)[1].tolist() == [4] * 60


def test_few_classes_remain_with_as_many_images_each_as_can_be():
    train, test = photos(per_class=50, classes=12), photos(per_class=8, classes=12, seed=1)
    left = few_classes(train, test, remain=3, seed=0)
    shown = train.labels[left.indices]
    assert np.bincount(shown)[[0, 6, 11]].tolist() == [32, 32, 32] and len(set(left.indices)) == 96
    assert np.bincount(left.labels).tolist() == [8] * 12  # what was asked for is the test set's
    assert (shown == left.labels).sum() == 3 * 8  # the remaining classes are shown where they were asked for


def test_a_blurred_image_has_lost_its_pixel_wide_stripes_and_kept_its_colour():
    stripes = torch.tensor([0, 200] * 4, dtype=torch.uint8).expand(1, 3, 8, 8)
    assert blurred(stripes).float()[..., 2:-2].std() < stripes.float().std() / 4
    flat = torch.full((1, 3, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(blurred(flat), flat)


def test_noise_has_its_standard_deviation_and_is_each_image_s_own():
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    noise = noisy(grey, [0, 1, 2, 3], seed=0).float() - 128
    assert noise.std() == pytest.approx(NOISE, rel=0.02)
    assert torch.equal(noisy(grey[:1], [2], seed=0).float()[0] - 128, noise[2])  # whatever the batch


def test_the_command_prints_a_line_for_each_set(tmp_path, monkeypatch, capsys, random_weights):
    for split, dataset in {"train": photos(20, 12, seed=1), "test": photos(2, 12, seed=2)}.items():
        for row, label in enumerate(dataset.labels):
            folder = tmp_path / split / dataset.class_names[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(dataset.images[row].permute(1, 2, 0).numpy()).save(folder / f"{row}.png")
    words = [f"train={tmp_path}/train", f"test={tmp_path}/test", "dims=64", "size=8", f"out={tmp_path}/table.json"]
    monkeypatch.setattr(sys, "argv", ["planted_failures", *words])
    monkeypatch.setenv("MISE_CACHE", str(tmp_path / "cache"))
    planted_failures.main()
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["planted", "fid64", "kid64", "precision64", "recall64", "density64", "coverage64"]
    assert len(lines) == 6  # of 12 classes 10 remain; 50 and 25 cannot
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    assert results["blurred to half the resolution"]["fid64"] > results["nothing (training photos)"]["fid64"]
