"""Noise levels in training: their distribution and their weights. Bounds are five standard errors."""

import pytest
import torch
from torch import nn

import models  # noqa: F401 - fills the registries
from models.registry import denoisers_registry
from training.levels import LogitNormalLevels, LogNormalLevels, TableLevels, UniformTimeLevels
from training.registry import levels_registry
from utils.batch import Condition
from utils.errors import ConfigError

N = 40_000


def draw(purpose: str) -> torch.Tensor:
    """Uniform numbers as training draws them."""
    return torch.rand(N, generator=torch.Generator().manual_seed(0))


def denoiser(name: str, backbone: nn.Module | None = None, **arguments) -> nn.Module:
    return denoisers_registry[name](backbone=backbone or nn.Identity(), **arguments)


@pytest.mark.parametrize(("p_mean", "p_std"), [(-1.2, 1.2), (0.5, 0.3)])
def test_the_logarithm_of_sigma_is_normal(p_mean, p_std):
    log = LogNormalLevels(denoiser("edm"), p_mean, p_std)(draw).sigma.log()
    assert log.mean().item() == pytest.approx(p_mean, abs=5 * p_std / N**0.5)
    assert log.std().item() == pytest.approx(p_std, abs=5 * p_std / (2 * N) ** 0.5)
    below = (log < p_mean - p_std).double().mean().item()
    assert below == pytest.approx(0.158655, abs=5 * (0.16 * 0.84 / N) ** 0.5)  # Phi(-1)


@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_the_ends_of_the_uniform_distribution_stay_finite(extreme):
    levels = LogNormalLevels(denoiser("edm"))(lambda purpose: torch.tensor([extreme]))
    assert torch.isfinite(levels.sigma).all()
    assert (levels.sigma > 0).all()
    assert torch.isfinite(levels.weight).all()


@pytest.mark.parametrize("sigma_data", [0.5, 1.3])
def test_the_weight_is_one_over_c_out_squared(sigma_data):
    """Karras et al. 2022: lambda(sigma) c_out(sigma)^2 = 1. A network that answers 1 shows c_out as D(0; sigma)."""

    class One(nn.Module):
        def forward(self, x, c_noise, cond):
            return torch.ones_like(x)

    edm = denoiser("edm", One(), sigma_data=sigma_data)
    levels = LogNormalLevels(edm)(draw)
    c_out = edm(torch.zeros(N, 1, 1, 1), levels.sigma, Condition()).flatten()
    torch.testing.assert_close(levels.weight * c_out**2, torch.ones(N), rtol=1e-5, atol=0)


def test_every_level_of_a_table_comes_equally_often_with_equal_weight():
    ddpm = denoiser("ddpm", num_steps=20)
    levels = TableLevels(ddpm)(draw)
    assert levels.weight.eq(1).all()
    counts = torch.stack([(levels.sigma == sigma).sum() for sigma in ddpm.table])
    assert counts.sum() == N  # nothing beside the table
    assert (counts - N / 20).abs().max() < 5 * (N / 20) ** 0.5


def test_the_ends_of_the_uniform_distribution_are_the_ends_of_the_table():
    ddpm = denoiser("ddpm", num_steps=20)
    sigma = TableLevels(ddpm)(lambda purpose: torch.tensor([0.0, 1 - 2**-24, 1.0])).sigma
    assert sigma.tolist() == [ddpm.table[0].item(), ddpm.table[-1].item(), ddpm.table[-1].item()]


def test_a_denoiser_without_a_table_is_an_error_with_the_way_out():
    with pytest.raises(ConfigError, match=r"train\.levels=lognormal or train\.denoiser=ddpm"):
        TableLevels(denoiser("edm"))


@pytest.mark.parametrize("name", levels_registry)
def test_levels_are_positive_float32_one_an_image(name):
    levels = levels_registry[name](denoiser("ddpm"))(draw)
    assert levels.sigma.shape == levels.weight.shape == (N,)
    assert levels.sigma.dtype == levels.weight.dtype == torch.float32
    assert (levels.sigma > 0).all()
    assert (levels.weight > 0).all()


def test_a_flow_s_time_has_a_normal_logit():
    flow = denoiser("flow")
    sigma = LogitNormalLevels(flow, mean=-0.4, std=0.8)(draw).sigma.double()
    logit = torch.logit(sigma / (1 + sigma))
    assert logit.mean().item() == pytest.approx(-0.4, abs=5 * 0.8 / N**0.5)
    assert logit.std().item() == pytest.approx(0.8, abs=5 * 0.8 / (2 * N) ** 0.5)


def test_a_flow_s_time_is_uniform():
    sigma = UniformTimeLevels(denoiser("flow"))(draw).sigma.double()
    t = sigma / (1 + sigma)
    for quantile in (0.1, 0.5, 0.9):
        error = (quantile * (1 - quantile) / N) ** 0.5
        assert (t < 0.001 + 0.998 * quantile).double().mean().item() == pytest.approx(quantile, abs=5 * error)


@pytest.mark.parametrize("levels", [LogitNormalLevels, UniformTimeLevels])
@pytest.mark.parametrize("extreme", [0.0, 1 - 2**-24])
def test_levels_of_a_flow_stay_in_its_range(levels, extreme):
    flow = denoiser("flow")
    made = levels(flow)(lambda purpose: torch.tensor([extreme]))
    assert flow.sigma_min * 0.999 <= made.sigma.item() <= flow.sigma_max * 1.001
    assert made.weight.item() == 1
