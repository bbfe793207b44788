"""What holds for every registered metric that judges sets of images."""

import pytest
import torch

import metrics  # noqa: F401
from metrics.base import SetMetric, SetOutcome
from metrics.registry import features_registry, metrics_registry
from utils.errors import ConfigError
from utils.schema import construct

SET_METRICS = [name for name in metrics_registry if issubclass(metrics_registry[name], SetMetric)]


@pytest.fixture(params=SET_METRICS)
def metric(request) -> SetMetric:
    return metrics_registry[request.param]()


def features(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, 2048, generator=torch.Generator().manual_seed(seed))


def judged(metric: SetMetric, *outcomes: SetOutcome) -> dict[str, float]:
    metric.reset()
    for outcome in outcomes:
        metric.update(outcome)
    return metric.compute()


def test_a_forgotten_import_would_be_missed():
    assert {"fid", "kid"} <= set(SET_METRICS)


def test_batches_make_the_same_number_as_the_whole(metric):
    real, fake = features(12, seed=1), features(12, seed=2)
    whole = judged(metric, SetOutcome(real, fake))
    parts = judged(metric, SetOutcome(real[:5]), SetOutcome(real[5:], fake[:2]), SetOutcome(fake=fake[2:]))
    assert whole == parts
    assert all(isinstance(value, float) for value in whole.values())
    assert all(name.startswith(metric.results) for name in whole)  # by these a wrong train.best_metric is known


def test_reset_forgets(metric):
    first = judged(metric, SetOutcome(features(12, seed=1), features(12, seed=2)))
    other = judged(metric, SetOutcome(features(12, seed=3), features(12, seed=4) / 2))
    assert judged(metric, SetOutcome(features(12, seed=1), features(12, seed=2))) == first != other


def test_a_set_of_fewer_than_two_is_refused(metric):
    with pytest.raises(ValueError, match="not 1 generated"):
        judged(metric, SetOutcome(features(4, seed=1), features(1, seed=2)))
    with pytest.raises(ValueError, match="not 0 real"):
        judged(metric, SetOutcome(fake=features(4, seed=2)))


@pytest.mark.parametrize(
    "bad, message",
    [
        (torch.zeros(4, 2048).double(), r"torch.float64 \(4, 2048\)"),
        (torch.zeros(4, 2048, 1), r"torch.float32 \(4, 2048, 1\)"),
        (torch.tensor([[1.0, torch.nan], [0.0, 1.0], [torch.inf, 0.0]]), "2 of 3 images are not finite"),
    ],
)
def test_what_is_no_set_of_features_is_refused(metric, bad, message):
    with pytest.raises(ValueError, match=message):
        metric.update(SetOutcome(real=bad))


class OfTheUser(torch.nn.Module):
    choices = (7,)


def test_dims_that_do_not_exist_are_a_config_error(metric, monkeypatch):
    monkeypatch.setitem(features_registry.classes, "the_user_s", OfTheUser)
    where = "metrics_args.metric"
    assert construct(type(metric), {"dims": 768, "weights_path": "w.pth"}, where).features.dims == 768
    with pytest.raises(ConfigError, match="metrics_args.metric: dims=100: inception has 64, 192, 768 or 2048"):
        construct(type(metric), {"dims": 100}, where)
    with pytest.raises(ConfigError, match="metrics_args.metric: dims=768: the_user_s has 7"):
        construct(type(metric), {"dims": 768, "network": "the_user_s"}, where)
    with pytest.raises(ConfigError, match="metrics_args.metric: network: 'inceptoin' is no feature network. Did you"):
        construct(type(metric), {"network": "inceptoin"}, where)
