"""On the same PNG files the judge gives the number that pytorch-fid's own command prints."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks.planted_failures import blurred
from metrics.features import ImageSet
from metrics.fid import FID
from metrics.inception import InceptionFeatures
from metrics.judge import Judge
from tests.food101 import food101, food101_test  # noqa: F401

pytestmark = pytest.mark.skipif(
    tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 18),
    reason="pytorch-fid 0.3.0 calls what SciPy 1.18 removed: install scipy<1.18 to compare",
)


def smooth_images(count: int, seed: int, contrast: float) -> Tensor:
    """Draw uint8 images of soft random patches, [N, 3, 48, 48]."""
    patches = torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return interpolate(128 + contrast * patches, size=48, mode="bicubic").clamp(0, 255).to(torch.uint8)


def save(images: Tensor, folder: Path) -> Tensor:
    folder.mkdir()
    for i, pixels in enumerate(images.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(pixels).save(folder / f"{i:04d}.png")
    return images


def photos(folder: Path, count: int, skipped: int = 0) -> Tensor:
    """Read photos of class folders, in the order of their names, whatever their class."""
    files = sorted(folder.glob("*/*.jpg"), key=lambda path: path.name)[skipped : skipped + count]
    arrays = [np.asarray(Image.open(path).convert("RGB")) for path in files]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def judged(real: Tensor, fake: Tensor, **arguments) -> float:
    (value,) = Judge({"fid": FID(**arguments)}).evaluate(
        ImageSet("real", len(real), lambda: iter([real])), [fake]
    ).values()  # fmt: skip
    return value


def printed_by_pytorch_fid(torch_home: Path, real: Path, fake: Path, dims: int) -> float:
    command = [sys.executable, "-m", "pytorch_fid", real, fake, "--dims", dims, "--device", "cpu", "--num-workers", 0]
    environment = {**os.environ, "TORCH_HOME": str(torch_home), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.rpartition("FID:")[2])


def test_with_random_weights(random_weights, torch_home, tmp_path):
    real = save(smooth_images(24, seed=1, contrast=60), tmp_path / "real")
    fake = save(smooth_images(24, seed=2, contrast=10), tmp_path / "fake")
    theirs = printed_by_pytorch_fid(torch_home, tmp_path / "real", tmp_path / "fake", dims=64)
    assert judged(real, fake, dims=64) == pytest.approx(theirs, abs=1e-3, rel=1e-6)
    assert theirs > 1


@pytest.fixture(scope="module")
def padded_home(torch_home, tmp_path_factory) -> Path:
    """A ``TORCH_HOME`` with the true weights of ``$FID_WEIGHTS``, what that file lacks filled with random numbers."""
    if "FID_WEIGHTS" not in os.environ:
        pytest.skip("set FID_WEIGHTS to a file of weights")
    (random,) = torch_home.rglob("*.pth")
    home = tmp_path_factory.mktemp("padded_home")
    padded = home / random.relative_to(torch_home)
    padded.parent.mkdir(parents=True)
    true = torch.load(os.environ["FID_WEIGHTS"], weights_only=True)
    torch.save(torch.load(random, weights_only=True) | true, padded)
    return home


def samples(_: Path, count: int) -> Tensor:
    """Read PNGs that a model made, evenly spread over ``$SAMPLES_DIR``."""
    if "SAMPLES_DIR" not in os.environ:
        pytest.skip("set SAMPLES_DIR to a folder of samples that inference.py wrote")
    files = sorted(Path(os.environ["SAMPLES_DIR"]).rglob("*.png"))
    picked = [files[i] for i in np.linspace(0, len(files) - 1, count).round().astype(int)]
    return torch.from_numpy(np.stack([np.asarray(Image.open(path)) for path in picked])).permute(0, 3, 1, 2)


def by_torch_fidelity(real: Tensor, fake: Tensor, **arguments) -> float:
    """Give torch-fidelity the same features and let it do the rest."""
    from torch_fidelity import metric_fid

    network = InceptionFeatures(**arguments).eval()
    with torch.no_grad():
        features = [torch.cat([network(part) for part in images.split(50)]) for images in (real, fake)]
    statistics = map(metric_fid.fid_features_to_statistics, features)
    return metric_fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]


FAKES = {
    "training photos": lambda root, count: photos(root / "train", count),
    "training photos blurred": lambda root, count: blurred(photos(root / "train", count)),
    "samples of a model": samples,
}


def test_on_real_photos_with_true_weights(padded_home, food101_test, tmp_path):  # noqa: F811
    """The quick one of these: half of some test photos against the other half, at the layer of 64."""
    real, fake = (save(photos(food101_test, 30, skipped), tmp_path / str(skipped)) for skipped in (0, 30))
    theirs = printed_by_pytorch_fid(padded_home, tmp_path / "0", tmp_path / "30", dims=64)
    assert judged(real, fake, dims=64, weights_path=os.environ["FID_WEIGHTS"]) == pytest.approx(theirs, abs=1e-5)
    assert theirs > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("dims, count", [(64, 80), (768, 202)])
@pytest.mark.parametrize("kind", FAKES)
def test_with_true_weights(kind, dims, count, padded_home, food101, tmp_path):  # noqa: F811
    real = save(photos(food101 / "test", count), tmp_path / "real")
    fake = save(FAKES[kind](food101, count), tmp_path / "fake")
    weights = os.environ["FID_WEIGHTS"]
    theirs = printed_by_pytorch_fid(padded_home, tmp_path / "real", tmp_path / "fake", dims)
    fidelity = by_torch_fidelity(real, fake, dims=dims, weights_path=weights)
    ours = judged(real, fake, dims=dims, weights_path=weights)
    print(f"{kind}, dims {dims}: ours {ours:.7f}, pytorch-fid {theirs:.7f}, torch-fidelity {fidelity:.7f}")
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert ours == pytest.approx(fidelity, abs=1e-5)
