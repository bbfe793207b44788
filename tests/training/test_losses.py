"""Losses of diffusion models against their closed forms."""

import math
from dataclasses import replace

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
    levels = LogNormalLevels(denoiser)(lambda purpose: torch.rand(n, generator=rng))
    sigma, weight = levels.sigma, levels.weight
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


def test_min_snr_is_the_snr_up_to_gamma_times_the_square_error():
    """sigma 2 and 0.1: SNR 1/4 and 100, of which gamma 5 stays."""
    clean, denoised = torch.zeros(2, 1, 1, 1), torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    prediction = Prediction(denoised, denoised)
    outcome = DiffusionOutcome(
        clean, clean, torch.tensor([2.0, 0.1]), torch.ones(2), clean, prediction, Condition()
    )  # fmt: skip
    assert losses_registry["min_snr"](gamma=5.0)(outcome).item() == pytest.approx((0.25 * 1 + 5 * 9) / 2)


def test_min_snr_without_a_limit_is_the_mse_of_predicted_noise():
    """|D - clean|^2 = sigma^2 |noise - epsilon|^2, so the weight 1 / sigma^2 leaves the noise's error."""
    outcome = diffusion_outcome("ddpm", Tanh())
    found = losses_registry["min_snr"](gamma=1e12)(outcome).item()
    assert found == pytest.approx(losses_registry["mse"]()(outcome).item(), rel=1e-3)


class Known(nn.Module):
    """A denoiser's answer with a log uncertainty of its own."""

    def __init__(self, u: list[float]):
        super().__init__()
        self.u = nn.Parameter(torch.tensor(u))

    def outcome(self, errors: list[float]) -> DiffusionOutcome:
        denoised = torch.tensor(errors).sqrt().view(-1, 1, 1, 1)
        prediction = Prediction(denoised, denoised, log_uncertainty=self.u)
        clean, ones = torch.zeros_like(denoised), torch.ones(len(errors))
        return DiffusionOutcome(clean, clean, ones, ones, clean, prediction, Condition())


def test_the_uncertainty_loss_is_smallest_where_u_is_the_logarithm_of_the_loss():
    """d/du (L / e^u + u) = 1 - L / e^u."""
    known = Known([math.log(0.2), math.log(3.0), 0.0])
    loss = losses_registry["edm_uncertainty"]()(known.outcome([0.2, 3.0, 2.0]))
    loss.backward()
    assert loss.item() == pytest.approx(((1 + math.log(0.2)) + (1 + math.log(3.0)) + 2) / 3, rel=1e-6)
    assert known.u.grad.tolist() == pytest.approx([0, 0, (1 - 2) / 3], abs=1e-6)


def test_without_uncertainty_the_loss_is_the_edm_loss():
    plain, outcome = losses_registry["edm"](), diffusion_outcome("edm", Tanh())
    zero = replace(outcome, prediction=replace(outcome.prediction, log_uncertainty=torch.zeros(6)))
    assert losses_registry["edm_uncertainty"]()(zero).item() == pytest.approx(plain(outcome).item())


def test_the_head_learns_the_logarithm_of_the_loss_at_every_noise_level():
    """Losses that fall from e^0 to e^-3 over ln sigma: 300 steps bring u within a twentieth on average."""
    torch.manual_seed(0)
    denoiser = denoisers_registry["edm"](backbone=nn.Identity(), uncertainty_channels=64)
    c_noise = torch.linspace(-1.5, 1.0, 200)
    losses = torch.exp(-3 * torch.linspace(0, 1, 200))
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=0.02)
    for _ in range(300):
        u = denoiser.uncertainty(c_noise)
        (losses / u.exp() + u).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert (denoiser.uncertainty(c_noise) - losses.log()).abs().mean() < 0.05
