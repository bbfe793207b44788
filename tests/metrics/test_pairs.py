"""PSNR and SSIM against scikit-image, and what they are given."""

import numpy as np
import pytest
import torch

from metrics.base import PairOutcome
from metrics.registry import metrics_registry
from utils.errors import MetricError


def images(count: int, size: int, seed: int) -> torch.Tensor:
    """Smooth random pictures, uint8 [N, 3, H, W]: neighbours are alike, as in photos."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, size // 4, size // 4), generator=generator)
    return (torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1) * 255).byte()


def noisy(clean: torch.Tensor, strength: float) -> torch.Tensor:
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)) * strength
    return (clean + noise).round().clamp(0, 255).byte()


def figure(name: str, first: torch.Tensor, second: torch.Tensor) -> float:
    metric = metrics_registry[name]()
    metric.update(PairOutcome(first, second))
    return metric.compute()[name]


def by_skimage(name: str, first: torch.Tensor, second: torch.Tensor) -> float:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    pairs = [(a.numpy(), b.numpy()) for a, b in zip(first, second, strict=True)]
    if name == "psnr":
        return float(np.mean([peak_signal_noise_ratio(a, b, data_range=255) for a, b in pairs]))
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return float(np.mean([structural_similarity(a, b, channel_axis=0, **wang) for a, b in pairs]))


@pytest.mark.parametrize("strength", [2.0, 20.0, 80.0])
@pytest.mark.parametrize("size", [12, 64])
@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_it_is_scikit_image_s(name, size, strength):
    first = images(4, size, seed=0)
    second = noisy(first, strength)
    assert figure(name, first, second) == pytest.approx(by_skimage(name, first, second), rel=1e-9)


@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_batches_weigh_by_their_images(name):
    """Three pairs and one: the mean over four, not over two batches; reset forgets."""
    first = images(4, 16, seed=0)
    second, metric = noisy(first, 30.0), metrics_registry[name]()
    for part in (slice(0, 3), slice(3, 4)):
        metric.update(PairOutcome(first[part], second[part]))
    assert metric.compute()[name] == pytest.approx(figure(name, first, second))
    metric.reset()
    with pytest.raises(ValueError, match="no pairs to judge"):
        metric.compute()


def test_equal_images_have_ssim_1_and_a_finite_psnr_above_all_others():
    first = images(2, 16, seed=0)
    other = first.clone()
    other[:, 0, 0, 0] = 255 - other[:, 0, 0, 0]
    assert figure("ssim", first, first) == pytest.approx(1, abs=1e-12)
    assert np.isfinite(figure("psnr", first, first))
    assert figure("psnr", first, first) > figure("psnr", first, other)


@pytest.mark.parametrize("name", ["psnr", "ssim"])
@pytest.mark.parametrize("other", [torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 15, 16, dtype=torch.uint8)])
def test_pairs_of_another_type_or_shape_are_refused(name, other):
    with pytest.raises(ValueError, match="uint8"):
        figure(name, images(1, 16, seed=0), other)


def test_ssim_of_images_smaller_than_its_window_is_refused():
    small = images(1, 8, seed=0)
    with pytest.raises(MetricError, match="windows of 11 pixels, the images are smaller: leave it out"):
        figure("ssim", small, small)
