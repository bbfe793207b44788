"""Noise levels against the papers' formulas."""

import math
from types import SimpleNamespace

import pytest
import torch

import sampling  # noqa: F401  fills the registries
from sampling.levels import CosineLevels, KarrasLevels, LinearLevels, RespacedLevels
from sampling.registry import sampling_levels_registry
from utils.errors import ConfigError
from utils.schema import check_arguments

CONTINUOUS = SimpleNamespace(sigma_min=0.002, sigma_max=80.0, table=None)
TABLE = torch.logspace(-2, 2, 1000)
DISCRETE = SimpleNamespace(sigma_min=TABLE[0].item(), sigma_max=TABLE[-1].item(), table=TABLE)


@pytest.mark.parametrize("steps", [1, 2, 18, 1000])
@pytest.mark.parametrize("name", sampling_levels_registry)
def test_levels_fall_from_the_denoisers_largest_to_zero(name, steps):
    levels = sampling_levels_registry[name](steps=steps).levels(DISCRETE)
    assert levels.shape == (steps + 1,) and levels.dtype == torch.float64
    assert (levels.diff() < 0).all()
    assert levels[0].item() == pytest.approx(DISCRETE.sigma_max, rel=1e-9) and levels[-1] == 0


def test_karras_levels_are_equation_5():
    rho, low, high, steps = 7, 0.002, 80.0, 18
    levels = KarrasLevels().levels(CONTINUOUS)
    for i in range(steps):
        expected = (high ** (1 / rho) + i / (steps - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho
        assert levels[i].item() == pytest.approx(expected, rel=1e-12)
    assert levels[17].item() == pytest.approx(0.002, rel=1e-12) and levels[18] == 0


def test_karras_levels_take_a_range():
    levels = KarrasLevels(steps=5, sigma_min=0.1, sigma_max=10).levels(CONTINUOUS)
    assert levels[[0, 4]].tolist() == pytest.approx([10, 0.1])


def test_linear_levels_are_evenly_spaced_in_the_time_of_a_flow():
    sigma = LinearLevels(steps=4).levels(SimpleNamespace(sigma_max=999.0))
    assert (sigma / (1 + sigma)).tolist() == pytest.approx([0.999 * k / 4 for k in (4, 3, 2, 1, 0)])


def test_cosine_levels_are_evenly_spaced_in_angle():
    sigma = CosineLevels(steps=3).levels(SimpleNamespace(sigma_max=math.sqrt(3)))  # 60, 40, 20, 0 degrees
    assert sigma.tolist() == pytest.approx([math.tan(math.radians(angle)) for angle in (60, 40, 20, 0)])


def test_respaced_levels_are_members_of_the_table_with_both_ends():
    table = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0])
    denoiser = SimpleNamespace(table=table)
    assert RespacedLevels(4).levels(denoiser).tolist() == [10, 7, 4, 1, 0]
    assert RespacedLevels(2).levels(denoiser).tolist() == [10, 1, 0]
    assert RespacedLevels(10).levels(denoiser).tolist() == [*reversed(table.tolist()), 0]


@pytest.mark.parametrize("steps", [3, 7, 50, 250, 999])
def test_respaced_levels_never_repeat(steps):
    assert (RespacedLevels(steps).levels(DISCRETE).diff() < 0).all()


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: RespacedLevels(50).levels(CONTINUOUS), "'respaced' levels need a denoiser with a table"),
        (lambda: RespacedLevels(1001).levels(DISCRETE), "steps must be at most 1000, .* not 1001"),
        (lambda: KarrasLevels(sigma_max=100).levels(CONTINUOUS), "sigma_max 100 is not a range within .* 0.002 to 80"),
        (lambda: KarrasLevels(sigma_min=5, sigma_max=1).levels(CONTINUOUS), "sigma_min 5 to sigma_max 1"),
    ],
)
def test_levels_that_do_not_suit_the_denoiser_are_an_error(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize(
    "name, setting, value",
    [*[(name, "steps", 0) for name in sampling_levels_registry], ("karras", "rho", 0), ("karras", "sigma_min", -1)],
)
def test_a_setting_out_of_range_is_named(name, setting, value):
    with pytest.raises(ConfigError, match=rf"levels_args\.{setting}\b"):
        check_arguments(sampling_levels_registry[name], {setting: value}, "levels_args")
