"""KID against its definition."""

import numpy as np
import pytest
import torch

from metrics.base import SetOutcome
from metrics.kid import KID, standard_error, unbiased_mmd
from utils.errors import MetricError


def features(count: int, seed: int, dims: int = 5) -> torch.Tensor:
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed))


def kid(real: torch.Tensor, fake: torch.Tensor, **arguments) -> dict[str, float]:
    metric = KID(**arguments)
    metric.update(SetOutcome(real, fake))
    return metric.compute()


def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
    return (float(x @ y) / len(x) + 1) ** 3


def test_one_subset_of_everything_is_the_unbiased_estimate_written_out():
    """Binkowski et al. 2018, section 3: the sums over pairs, an image with itself left out."""
    x, y = features(7, seed=1).double(), features(7, seed=2).double() + 0.5
    within = [np.mean([kernel(s[i], s[j]) for i in range(7) for j in range(7) if i != j]) for s in (x, y)]
    across = np.mean([kernel(a, b) for a in x for b in y])
    found = kid(x.float(), y.float(), subset_size=7, subsets=3)
    assert found["kid5"] == pytest.approx(within[0] + within[1] - 2 * across, rel=1e-5)
    assert found["kid5_std"] == pytest.approx(0, abs=1e-5)  # the same seven images three times


def test_it_has_no_bias_for_few_images():
    """Two samples of one distribution: the mean over many draws of four images is zero, where a biased one is not."""
    found = kid(features(2000, seed=1), features(2000, seed=2), subset_size=4, subsets=4000)
    diagonal = float(((features(2000, seed=1).square().sum(1) / 5 + 1) ** 3).mean() - 1) / 4  # the bias of one side
    error = found["kid5_std"] / 4000**0.5
    assert abs(found["kid5"]) < 4 * error < diagonal / 4


def test_small_sets_are_drawn_by_halves_and_large_ones_by_thousands():
    for count, size in {3000: 1000, 2000: 1000, 60: 30, 3: 2, 2: 2}.items():
        assert KID()._size(count) == size


def test_the_draws_follow_the_seed():
    x, y = features(40, seed=1), features(40, seed=2)
    assert kid(x, y, seed=1) == kid(x, y, seed=1) != kid(x, y, seed=2)


@pytest.mark.parametrize("size", [1, 41])
def test_a_subset_that_cannot_be_drawn_is_an_error_with_the_fix(size):
    with pytest.raises(MetricError, match=rf"2 to 40 images.*not of {size}: set metrics_args.kid.subset_size"):
        kid(features(40, seed=1), features(50, seed=2), subset_size=size)


def test_dims_or_weights_make_it_independent_of_the_metric_beside_it():
    assert KID().features is None
    assert KID(dims=768).features.dims == 768
    assert (KID(weights_path="w.pth").features.dims, KID(weights_path="w.pth").features.weights_path) == (2048, "w.pth")


def test_the_standard_error_is_the_spread_of_the_estimate_over_fresh_samples():
    """400 pairs of fresh samples: their estimates' standard deviation, known to 1 / sqrt(800) = 3.5 %."""
    estimates, errors = [], []
    for seed in range(400):
        x, y = features(60, seed=2 * seed), features(40, seed=2 * seed + 1) + 0.5
        found = kid(x, y, subset_size=40, subsets=1)
        estimates.append(unbiased_mmd(x, y))
        errors.append(found["kid5_se"])
    assert np.mean(errors) == pytest.approx(np.std(estimates, ddof=1), rel=0.12)


def test_leaving_one_out_is_what_leaving_one_out_gives():
    x, y = features(6, seed=1).double(), features(5, seed=2).double() + 0.5

    def estimate(x: torch.Tensor, y: torch.Tensor) -> float:
        within = [np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (x, y)]
        return within[0] + within[1] - 2 * np.mean([kernel(a, b) for a in x for b in y])

    without_x = [estimate(torch.cat([x[:i], x[i + 1 :]]), y) for i in range(6)]
    without_y = [estimate(x, torch.cat([y[:i], y[i + 1 :]])) for i in range(5)]
    variance = sum((len(t) - 1) * np.var(t) for t in (without_x, without_y))  # (n - 1) / n times the sum of squares
    assert standard_error(x, y) == pytest.approx(variance**0.5, rel=1e-9)
    assert unbiased_mmd(x, y) == pytest.approx(estimate(x, y), rel=1e-9)


def test_two_images_have_no_standard_error():
    assert kid(features(2, seed=1), features(9, seed=2)).keys() == {"kid5", "kid5_std"}
