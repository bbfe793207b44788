"""Losses of diffusion models against their closed forms."""

import pytest
import torch
from torch import Tensor, nn

import models  # noqa: F401 - fills the registries
from models.diffusion.denoisers import Prediction
from models.registry import denoisers_registry
from training.levels import LogNormalLevels
from training.losses.diffusion import DiffusionOutcome
from training.losses.registry import losses_registry
from utils.batch import Condition


def diffusion_outcome(name: str, backbone: nn.Module, n: int = 6) -> DiffusionOutcome:
    """Real noisy images, and what a denoiser makes of them."""
    rng = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(n, 3, 4, 4, generator=rng) for _ in range(2))
    denoiser = denoisers_registry[name](backbone=backbone)
    sigma, weight = LogNormalLevels(denoiser)(lambda purpose: torch.rand(n, generator=rng)).__dict__.values()
    prediction = denoiser.predict(clean + sigma[:, None, None, None] * noise, sigma, Condition())
    target = denoiser.target(clean, noise, sigma)
    return DiffusionOutcome(clean, noise, sigma, weight, target, prediction, Condition())


class Tanh(nn.Module):
    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        return torch.tanh(x + c_noise.view(-1, 1, 1, 1))


def test_mse_is_the_mean_square_of_output_minus_target():
    images = torch.zeros(2, 1, 2, 2)
    target = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    prediction = Prediction(denoised=images + 100, output=images)
    outcome = DiffusionOutcome(images, images, torch.ones(2), torch.full((2,), 9.0), target, prediction, Condition())
    assert losses_registry["mse"]()(outcome).item() == (1 + 9) / 2  # neither the weight nor D counts


def test_under_ddpm_mse_compares_the_network_s_answer_with_the_noise():
    outcome = diffusion_outcome("ddpm", Tanh())
    expected = (outcome.prediction.output - outcome.noise).square().mean()
    assert losses_registry["mse"]()(outcome).item() == pytest.approx(expected.item())


def test_edm_weights_the_square_error_of_each_denoised_image():
    images = torch.zeros(2, 1, 2, 2)
    denoised = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    prediction = Prediction(denoised=denoised, output=images + 100)
    weight = torch.tensor([4.0, 0.5])
    outcome = DiffusionOutcome(images, images, torch.ones(2), weight, images, prediction, Condition())
    assert losses_registry["edm"]()(outcome).item() == (4 * 1 + 0.5 * 9) / 2


def test_with_the_edm_denoiser_the_edm_loss_is_the_mse_of_the_raw_network():
    """Karras et al. 2022, equation 8: the weight cancels c_out squared."""
    outcome = diffusion_outcome("edm", Tanh())
    raw = losses_registry["mse"]()(outcome).item()
    assert losses_registry["edm"]()(outcome).item() == pytest.approx(raw, rel=1e-3)
    assert raw > 0.1
