"""The Gaussian of the training pixels: its moments are theirs."""

import json
import sys
from shutil import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import read_image

from benchmarks import gaussian_baseline
from benchmarks.gaussian_baseline import gaussian_samples
from utils.images import to_float


def correlated_images(count: int) -> torch.Tensor:
    """Draw uint8 images [N, 3, 2, 2] whose pixels share a tint."""
    generator = torch.Generator().manual_seed(0)
    tint = torch.randint(0, 200, (count, 3, 1, 1), generator=generator)
    return (tint + torch.randint(0, 56, (count, 3, 2, 2), generator=generator)).to(torch.uint8)


def test_samples_have_the_mean_and_covariance_of_the_images():
    """With M samples an entry of the covariance is off by about sqrt(2 / M) of a variance: five times that is far."""
    images = correlated_images(300)
    pixels = to_float(images).flatten(1).double().numpy()
    samples = gaussian_samples(images.split(70), 20_000, seed=1).flatten(1).double().numpy()
    wanted, found = np.cov(pixels, rowvar=False), np.cov(samples, rowvar=False)
    far = 5 * (2 / 20_000) ** 0.5 * wanted.diagonal().max()
    assert np.abs(found - wanted).max() < far < np.abs(wanted - np.diag(wanted.diagonal())).max() / 5
    assert np.abs(samples.mean(0) - pixels.mean(0)).max() < far


def test_samples_of_two_images_lie_on_the_line_through_them():
    images = correlated_images(2)
    a, b = to_float(images).flatten(1)
    samples = gaussian_samples([images], 50, seed=2).flatten(1)
    along = (samples - (a + b) / 2) @ (a - b) / (a - b).square().sum()
    torch.testing.assert_close(samples, (a + b) / 2 + along[:, None] * (a - b), atol=1e-5, rtol=0)
    assert along.std() > 0.3  # z / sqrt(2)


def test_the_command_judges_as_many_images_as_the_test_folder_holds(tmp_path, monkeypatch, capsys, random_weights):
    for split, count in {"train": 12, "test": 5}.items():
        (tmp_path / split / "dish").mkdir(parents=True)
        for i, image in enumerate(torch.rand(count, 8, 8, 3).mul(255).byte().numpy()):
            Image.fromarray(image).save(tmp_path / split / "dish" / f"{i}.png")
    copy(tmp_path / "test/dish/0.png", tmp_path / "train/dish/leaked.png")
    words = [f"train={tmp_path}/train", f"test={tmp_path}/test", "dims=64", "size=8", f"out={tmp_path}/grid.png"]
    monkeypatch.setattr(sys, "argv", ["gaussian_baseline", *words])
    gaussian_baseline.main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["fid64"] > 0 and "kid64" in printed
    assert (printed["real_images"], printed["fake_images"]) == (5, 5)
    assert (printed["train_images"], printed["left_out"]) == (12, 1)
    assert read_image(str(tmp_path / "grid.png")).shape == (3, 2 * 10 + 2, 3 * 10 + 2)


def test_a_misspelt_setting_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gaussian_baseline", "train=a", "test=b", "dimz=64"])
    with pytest.raises(SystemExit, match="2"):
        gaussian_baseline.main()
    assert "dimz is not a config key. Did you mean 'dims'?" in capsys.readouterr().err
