"""The Frechet distance against closed forms, and against pytorch-fid's."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import ArrayLike

from metrics.base import SetOutcome
from metrics.fid import FID, feature_distance

entries = st.floats(-10, 10, allow_subnormal=False)


def rotation(dims: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dims, dims)))[0]


def normal_features(count: int, dims: int, seed: int) -> torch.Tensor:
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed))


def with_moments(mean: ArrayLike, cov: ArrayLike) -> torch.Tensor:
    """Make features, float64 [2 D, D], of this mean and unbiased covariance: pairs on both sides of the mean."""
    eigenvalues, vectors = np.linalg.eigh(np.asarray(cov, dtype=float))
    rounding = len(eigenvalues) * np.finfo(float).eps * eigenvalues.max()  # what is within it of zero is zero
    root = np.sqrt(np.where(eigenvalues > rounding, eigenvalues, 0))[:, None] * vectors.T  # root^T root = cov
    apart = root * math.sqrt((2 * len(root) - 1) / 2)
    return torch.from_numpy(np.concatenate([mean + apart, mean - apart]))


def distance(mean1: ArrayLike, cov1: ArrayLike, mean2: ArrayLike, cov2: ArrayLike) -> float:
    return feature_distance(with_moments(mean1, cov1), with_moments(mean2, cov2))


def test_in_one_dimension_it_is_the_squared_difference_of_means_and_of_deviations():
    assert distance([1.0], [[9.0]], [3.5], [[4.0]]) == pytest.approx(2.5**2 + (3 - 2) ** 2, rel=1e-12)


def test_covariances_that_commute_differ_by_the_roots_of_their_eigenvalues():
    q, a, b = rotation(6), np.array([1, 4, 9, 2, 7, 0.5]), np.array([4, 1, 16, 2, 0.3, 8])
    found = distance(np.zeros(6), q @ np.diag(a) @ q.T, np.ones(6), q @ np.diag(b) @ q.T)
    assert found == pytest.approx(6 + np.square(np.sqrt(a) - np.sqrt(b)).sum(), rel=1e-12)


@given(arrays(float, (2, 2, 2), elements=entries))
def test_in_two_dimensions_the_trace_of_the_root_has_a_closed_form(roots):
    """For a 2x2 matrix M with eigenvalues p, q >= 0: (sqrt p + sqrt q)^2 = tr M + 2 sqrt(det M)."""
    c1, c2 = roots @ roots.transpose(0, 2, 1)
    root_of_det = abs(np.linalg.det(roots[0]) * np.linalg.det(roots[1]))
    expected = np.trace(c1) + np.trace(c2) - 2 * math.sqrt(max(np.trace(c1 @ c2) + 2 * root_of_det, 0))
    scale = np.trace(c1) + np.trace(c2)
    # A covariance that is all but singular is known to half the digits only, once it has been rounded to float64.
    assert distance([0, 0], c1, [0, 0], c2) == pytest.approx(expected, abs=2e-7 * scale + 1e-9)


def test_sets_on_two_lines_differ_by_the_angle_between_them():
    """Covariances u u^T and v v^T have rank one: tr sqrt(C1 C2) = |u.v|, in as many dimensions as FID has."""
    u, v = normal_features(2, 2048, seed=1).double()
    along = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)[:, None]  # variance 1
    expected = float(u @ u + v @ v - 2 * (u @ v).abs())
    assert feature_distance(along * u, along * v) == pytest.approx(expected, rel=1e-12)
    assert distance(np.zeros(9), np.outer(u[:9], u[:9]), np.zeros(9), np.outer(v[:9], v[:9])) == pytest.approx(
        float(u[:9] @ u[:9] + v[:9] @ v[:9] - 2 * (u[:9] @ v[:9]).abs()), rel=1e-9
    )


def test_eigenvalues_over_twelve_decades_keep_six_digits():
    q, a = rotation(40), np.logspace(-12, 0, 40)
    b = a[::-1]
    found = distance(np.zeros(40), q @ np.diag(a) @ q.T, np.zeros(40), q @ np.diag(b) @ q.T)
    assert found == pytest.approx(np.square(np.sqrt(a) - np.sqrt(b)).sum(), rel=1e-6)


def test_features_over_twelve_decades_keep_nine_digits():
    """No covariance is formed, so nothing is rounded to the largest eigenvalue: scaled columns have a closed form."""
    x = torch.linalg.qr(normal_features(60, 41, seed=3).double() - normal_features(60, 41, seed=3).double().mean(0)).Q
    a, b = torch.logspace(-12, 0, 41, dtype=torch.float64), torch.logspace(0, -12, 41, dtype=torch.float64)
    expected = float((a.sqrt() - b.sqrt()).square().sum()) / 59
    assert feature_distance(x * a.sqrt(), x * b.sqrt()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [10, 200])
def test_fewer_images_than_dimensions_or_more_it_is_the_distance_of_their_moments(count):
    x, y = normal_features(count, 30, seed=1), 2 * normal_features(count + 5, 30, seed=2) + 1
    moments = [(m.mean(0), np.cov(m, rowvar=False)) for m in (x.double().numpy(), y.double().numpy())]
    assert feature_distance(x, y) == pytest.approx(distance(*moments[0], *moments[1]), rel=1e-9)


def test_it_is_pytorch_fids_number():
    fid_score = pytest.importorskip("pytorch_fid.fid_score")
    x, y = normal_features(400, 50, seed=1).numpy(), (normal_features(400, 50, seed=2) ** 2).numpy()
    moments = [(m.mean(0), np.cov(m, rowvar=False)) for m in (x, y)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # SciPy's, about an argument that 1.18 removes
        theirs = fid_score.calculate_frechet_distance(*moments[0], *moments[1])
    assert feature_distance(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(theirs, rel=1e-6)


feature_sets = arrays(np.float64, st.tuples(st.integers(2, 12), st.just(5)), elements=entries).map(torch.from_numpy)


@settings(deadline=None)
@given(feature_sets, feature_sets, st.floats(0.1, 10))
def test_it_is_a_squared_distance(x, y, scale):
    """Never negative, zero for equal sets, symmetric, blind to rotation, quadratic in scale; a shift is its square."""
    size = 1 + float(x.square().sum() + y.square().sum())
    close = {"rel": 1e-6, "abs": 1e-10 * size * max(1, scale**2)}
    apart = feature_distance(x, y)
    turn = torch.from_numpy(rotation(5))
    assert apart >= 0
    assert feature_distance(x, x.flip(0)) == pytest.approx(0, **close)
    assert feature_distance(y, x) == pytest.approx(apart, **close)
    assert feature_distance(x @ turn, y @ turn) == pytest.approx(apart, **close)
    assert feature_distance(scale * x, scale * y) == pytest.approx(scale**2 * apart, **close)
    assert feature_distance(x, x + scale) == pytest.approx(5 * scale**2, **close)


def test_the_name_says_which_features():
    for dims, name in {2048: "fid", 768: "fid768"}.items():
        metric = FID(dims=dims)
        metric.update(SetOutcome(normal_features(4, dims, seed=1), normal_features(4, dims, seed=2)))
        assert list(metric.compute()) == [name]
