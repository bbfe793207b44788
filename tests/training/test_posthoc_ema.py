"""Averages put together afterwards, against integrals and against averages made in training."""

import numpy as np
import pytest
import torch
from torch import nn

import inference
import train
from tests.runs import words, write_config
from training.ema import PowerEma
from training.posthoc_ema import (
    LIMIT,
    coefficients,
    gamma_of,
    product,
    reconstruct,
    save_snapshot,
)
from utils.errors import ConfigError, DataError

TAU = np.linspace(0, 1, 200_001)


def profile(tau: np.ndarray, time: float, gamma: float) -> np.ndarray:
    """Return how much the weights of times ``tau`` count in the average of (time, gamma); it integrates to 1."""
    inside = (tau >= 0) & (tau <= time)
    return np.where(inside, (gamma + 1) / time * (np.clip(tau, 0, None) / time) ** gamma, 0.0)


def integral(values: np.ndarray) -> float:
    return float(np.trapezoid(values, TAU))


@pytest.mark.parametrize("width", [0.02, 0.05, 0.1, 0.2, 0.28])
def test_a_profile_has_unit_mass_and_the_width_it_is_named_by(width):
    density = profile(TAU, 1.0, gamma_of(width))
    mean = integral(density * TAU)
    assert integral(density) == pytest.approx(1, abs=1e-4)
    assert integral(density * (TAU - mean) ** 2) ** 0.5 == pytest.approx(width, rel=1e-3)


def test_the_papers_exponents():
    """Karras et al. 2024, section 3.1: widths 0.05 and 0.10 are gamma 16.97 and 6.94."""
    assert gamma_of(0.05) == pytest.approx(16.97, abs=0.01)
    assert gamma_of(0.10) == pytest.approx(6.94, abs=0.01)
    gamma = gamma_of(0.07)
    assert ((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))) ** 0.5 == pytest.approx(0.07)
    assert gamma_of(LIMIT) == pytest.approx(0, abs=1e-6)  # the plain mean


@pytest.mark.parametrize("width", [0, -0.1, 0.3])
def test_a_width_that_no_profile_has_is_an_error(width):
    with pytest.raises(ConfigError, match=r"between 0 and 0\.289"):
        gamma_of(width)


def test_products_are_the_integrals_of_two_profiles():
    for t1, gamma1, t2, gamma2 in [(1.0, 3.0, 1.0, 3.0), (0.5, 6.94, 1.0, 16.97), (0.9, 2.0, 0.2, 9.0)]:
        by_hand = integral(profile(TAU, t1, gamma1) * profile(TAU, t2, gamma2))
        assert product(t1, gamma1, t2, gamma2) == pytest.approx(by_hand, rel=1e-3)
    assert np.isfinite(product(1e9, 600.0, 2e9, 600.0))  # no power overflows


def test_the_sum_of_snapshots_comes_near_the_profile_that_was_asked_for():
    """Two widths and twenty times, as in the paper: the squared error of another width is below 1e-4."""
    times = np.repeat(np.arange(1, 21) / 20, 2)
    gammas = [gamma_of(0.05), gamma_of(0.10)] * 20
    for width, error in [(0.05, 1e-12), (0.07, 2e-5), (0.15, 1e-4)]:
        wanted = profile(TAU, 1.0, gamma_of(width))
        factors = coefficients(times, gammas, 1.0, gamma_of(width))
        made = sum(f * profile(TAU, t, g) for f, t, g in zip(factors, times, gammas))
        assert integral((made - wanted) ** 2) < error * integral(wanted**2)
        assert factors.sum() == pytest.approx(1, abs=5e-4)


class Weight(nn.Module):
    def __init__(self, value: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value]))
        self.register_buffer("count", torch.tensor(0))


def test_in_training_a_weight_counts_by_the_power_of_its_time():
    """With weights tau the average is the mean of the profile, (gamma + 1) / (gamma + 2); steps are 1 / 2000."""
    network = Weight()
    ema = PowerEma(network, widths=[0.05, 0.2])
    for step in range(1, 2001):
        network.weight.data.fill_(step / 2000)
        ema.update(network, batch_size=4, images_seen=4 * step)
    for width, average in ema.snapshots().items():
        gamma = gamma_of(width)
        assert average.weight.item() == pytest.approx((gamma + 1) / (gamma + 2), abs=1e-3)


def test_an_average_made_afterwards_is_the_one_made_in_training(tmp_path):
    """A weight that wanders: the width 0.12 was tracked as well, and never used for putting together."""
    network = Weight()
    ema, truth = PowerEma(network, widths=[0.05, 0.10]), PowerEma(network, widths=[0.07])
    for step in range(1, 2001):
        network.weight.data.fill_(np.sin(step / 300) + step / 2000)
        network.count += 1
        ema.update(network, 1, step)
        truth.update(network, 1, step)
        if step % 100 == 0:
            for width, average in ema.snapshots().items():
                save_snapshot(average, tmp_path, step, step, width)
    made = reconstruct(tmp_path, 2000, 0.07)
    assert made["weight"].item() == pytest.approx(truth.module.weight.item(), abs=5e-4)
    assert made["count"].item() == 2000
    with pytest.raises(ConfigError, match=r"inference\.ema_width=0\.07 needs snapshots up to 2100 images"):
        reconstruct(tmp_path, 2100, 0.07)


def test_a_damaged_snapshot_is_named(tmp_path):
    path = save_snapshot(Weight(), tmp_path, 1, 1, 0.05)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match=f"{path.name} is damaged"):
        reconstruct(tmp_path, 1, 0.05)


def test_a_run_leaves_snapshots_and_inference_chooses_the_width(tmp_path):
    config = write_config(tmp_path, "diffusion", {"train.ema": "power", "ema_args": {}, "train.checkpoint_step": 1})
    train.main(words(config, tmp_path))
    assert len(list((tmp_path / "diffusion" / "ema").glob("*.safetensors"))) == 14  # two widths, seven steps
    more = ["train.checkpoint_path=latest", "inference.ema_width=0.08", "inference.num_images=2"]
    inference.main(words(config, tmp_path, *more, f"inference.out_dir={tmp_path / 'out'}"))
    assert '"width": 0.08' in (tmp_path / "out" / "metrics.json").read_text()
