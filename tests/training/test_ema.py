"""The moving average against its closed form."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.ema import HalflifeEma, NoEma
from training.registry import ema_registry


class Number(nn.Module):
    """One weight and one buffer."""

    def __init__(self, value: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value], dtype=torch.float64))
        self.register_buffer("count", torch.tensor(0))


def set_to(network: Number, value: float) -> None:
    network.weight.data.fill_(value)


@pytest.mark.parametrize("name", ema_registry)
def test_the_average_of_constant_weights_is_these_weights(name):
    network = Number(3.7)
    ema = ema_registry[name](network)
    for step in range(1, 6):
        ema.update(network, batch_size=10, images_seen=10 * step)
    assert ema.module.weight.item() == pytest.approx(3.7, rel=1e-12)


@pytest.mark.parametrize("batch_size", [1, 10, 500, 1000])
def test_after_the_halflife_the_old_weights_count_half_whatever_the_batch_size(batch_size):
    network = Number(0.0)
    ema = HalflifeEma(network, halflife=1000, rampup=0)
    set_to(network, 1.0)
    for images in range(batch_size, 1001, batch_size):
        ema.update(network, batch_size, images)
    assert ema.module.weight.item() == pytest.approx(0.5, rel=1e-9)


def test_weights_that_grow_steadily_are_averaged_as_the_geometric_series_says():
    """With weights w_k = k and factor b: (1 - b) sum_k b^(n-k) k = n - b (1 - b^n) / (1 - b)."""
    network, b, n = Number(0.0), 0.5 ** (8 / 100), 40
    ema = HalflifeEma(network, halflife=100, rampup=0)
    for step in range(1, n + 1):
        set_to(network, float(step))
        ema.update(network, batch_size=8, images_seen=8 * step)
    assert ema.module.weight.item() == pytest.approx(n - b * (1 - b**n) / (1 - b), rel=1e-9)


def of_pytorch(network: nn.Module, beta: float) -> tuple[nn.Module, object]:
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(beta))
    average.update_parameters(network)  # its first call copies
    return average.module, lambda: average.update_parameters(network)


def of_ema_pytorch(network: nn.Module, beta: float) -> tuple[nn.Module, object]:
    library = pytest.importorskip("ema_pytorch")
    average = library.EMA(network, beta=beta, update_after_step=0, update_every=1, power=1e9)  # no warm-up of its own
    average.update()  # its first call copies
    return average.ema_model, average.update


@pytest.mark.parametrize(("theirs", "rtol"), [(of_pytorch, 1e-12), (of_ema_pytorch, 1e-6)])  # whose factor is float32
def test_weights_that_a_training_moves_are_averaged_as_other_libraries_do(theirs, rtol):
    """Twenty steps of Adam on a small network, in batches of 8 with a half-life of 40 images."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    optimizer, ema = torch.optim.Adam(network.parameters(), lr=0.1), HalflifeEma(network, halflife=40, rampup=0)
    other, update = theirs(network, 0.5 ** (8 / 40))
    for step in range(1, 21):
        optimizer.zero_grad()
        network(torch.randn(8, 3, dtype=torch.float64)).square().mean().backward()
        optimizer.step()
        ema.update(network, batch_size=8, images_seen=8 * step)
        update()
    for ours, expected, last in zip(ema.module.parameters(), other.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.data, expected.data, rtol=rtol, atol=0)
        assert (ours - last).abs().max() > 1e-3


def test_early_the_memory_is_a_share_of_the_images_seen():
    """At 200 images with a ramp-up of 0.05 the half-life is 10 images: a batch of 10 counts half."""
    network = Number(0.0)
    ema = HalflifeEma(network, halflife=1000, rampup=0.05)
    set_to(network, 1.0)
    ema.update(network, batch_size=10, images_seen=200)
    assert ema.module.weight.item() == pytest.approx(0.5)
    set_to(network, 0.5)
    ema.update(network, batch_size=1000, images_seen=10**6)  # the half-life itself is the smaller one now
    set_to(network, 1.0)
    ema.update(network, batch_size=1000, images_seen=10**6)
    assert ema.module.weight.item() == pytest.approx(0.75)


def test_buffers_are_copied_as_they_are():
    network = Number(0.0)
    ema = HalflifeEma(network, halflife=1000)
    network.count += 7
    ema.update(network, batch_size=1, images_seen=1)
    assert ema.module.count.item() == 7


def test_without_an_average_the_last_weights_count():
    network = Number(0.0)
    ema = NoEma(network)
    set_to(network, 5.0)
    network.count += 1
    assert ema.module.weight.item() == 0
    ema.update(network, batch_size=1, images_seen=1)
    assert (ema.module.weight.item(), ema.module.count.item()) == (5, 1)


@pytest.mark.parametrize("name", ema_registry)
def test_the_average_is_a_copy_in_eval_mode_that_nobody_trains(name):
    network = Number(1.0).train()
    module = ema_registry[name](network).module
    assert module is not network
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
