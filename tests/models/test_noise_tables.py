"""The tables of discrete-time diffusion against the papers' formulas, evaluated one step at a time in float64."""

import math

import pytest
import torch

from models.diffusion.noise_tables import noise_table
from utils.errors import ConfigError


def betas_by_hand(schedule: str, T: int) -> list[float]:
    """Ho et al. 2020, section 4; Nichol and Dhariwal 2021, equation 17. One step at a time."""
    if schedule == "linear":
        return [1e-4 + (0.02 - 1e-4) * t / (T - 1) for t in range(T)]
    f = [math.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(T + 1)]
    return [min(1 - f[t] / f[t - 1], 0.999) for t in range(1, T + 1)]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_table_is_the_papers(schedule):
    abar, expected = 1.0, []
    for beta in betas_by_hand(schedule, 1000):
        abar *= 1 - beta
        expected.append(math.sqrt((1 - abar) / abar))
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(noise_table(schedule, 1000), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("T", [100, 250, 4000])
def test_a_linear_table_of_any_length_destroys_as_much(T):
    """log abar_T is about minus the sum of the betas, 10.05, whose ends scale by 1000 / T."""
    sigma_max = noise_table("linear", T)[-1].item()
    assert math.log(1 / (1 + sigma_max**2)) == pytest.approx(-10.05, rel=0.1)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("T", [2, 5, 20, 50])
def test_a_short_table_ascends_to_a_finite_end(schedule, T):
    table = noise_table(schedule, T)
    assert (table > 0).all() and (table.diff() > 0).all() and table.isfinite().all()


def test_an_impossible_table_is_an_error():
    with pytest.raises(ConfigError, match="schedule must be one of linear, cosine, not 'quadratic'"):
        noise_table("quadratic", 1000)
    with pytest.raises(ConfigError, match="num_steps must be at least 2, not 1"):
        noise_table("linear", 1)
