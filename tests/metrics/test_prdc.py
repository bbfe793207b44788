"""Precision, recall, density, coverage against what they must be, and against torch-fidelity."""

import pytest
import torch
from torch_fidelity import metric_prc

from metrics.base import SetOutcome
from metrics.features import FeatureSpec
from metrics.prdc import PRDC, neighbour_distance, prdc
from utils.errors import MetricError


def gaussian(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)) + shift


def test_a_set_against_itself_is_perfect():
    features = gaussian(60, 0)
    found = prdc(features, features, k=3)
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    # A ball holds its own image, k - 1 nearer ones and the k-th neighbour on its rim.
    assert found["density"] == pytest.approx(4 / 3)


def test_sets_far_apart_share_nothing():
    assert set(prdc(gaussian(40, 0), gaussian(40, 1, shift=100.0), k=5).values()) == {0.0}


def test_points_on_a_line_by_hand():
    """Real at 0, 1, 3 with radii (k=1) 1, 1, 2; fake at 0.5 and 10 with radii 9.5, 9.5."""
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [10.0]])
    assert neighbour_distance(real, 1).tolist() == [1.0, 1.0, 2.0]
    found = prdc(real, fake, k=1)
    assert found["precision"] == 0.5  # 0.5 lies in two real balls, 10 in none
    assert found["recall"] == 1.0  # 3 lies within 9.5 of 0.5
    assert found["density"] == 1.0  # (2 + 0) / 2 images / k
    assert found["coverage"] == pytest.approx(2 / 3)  # nothing near 3


def test_missing_modes_cost_recall_and_coverage_but_not_precision():
    modes = torch.eye(16)[:8] * 40
    real = torch.cat([gaussian(30, seed) + mode for seed, mode in enumerate(modes)])
    fake = torch.cat([gaussian(60, 100 + seed) + mode for seed, mode in enumerate(modes[:4])])
    found = prdc(real, fake, k=5)
    assert found["precision"] > 0.9
    assert found["recall"] < 0.55 and found["coverage"] < 0.55  # half of the modes are missing


def test_precision_and_recall_equal_torch_fidelitys():
    real, fake = gaussian(120, 0), gaussian(100, 1, shift=0.4)
    theirs = metric_prc.prc_features_to_metric(fake, real, prc_neighborhood=3, prc_batch_size=50, verbose=False)
    ours = prdc(real, fake, k=3)
    assert ours["precision"] == pytest.approx(theirs[metric_prc.KEY_METRIC_PRECISION], abs=1e-6)
    assert ours["recall"] == pytest.approx(theirs[metric_prc.KEY_METRIC_RECALL], abs=1e-6)


def test_the_metric_names_its_features_and_refuses_sets_that_are_too_small():
    metric = PRDC(k=5)
    metric.features = FeatureSpec(dims=768)
    metric.update(SetOutcome(gaussian(5, 0), gaussian(9, 1)))
    with pytest.raises(MetricError, match=r"metrics_args\.prdc\.k"):
        metric.compute()
    metric.reset()
    metric.update(SetOutcome(gaussian(30, 0), gaussian(30, 1)))
    assert set(metric.compute()) == {"precision768", "recall768", "density768", "coverage768"}
