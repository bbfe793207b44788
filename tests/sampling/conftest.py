"""Denoisers whose answers are known in closed form, for the tests of everything that samples."""

import pytest
import torch
from torch import Tensor, nn

from models.diffusion.denoisers import Prediction


class GaussianDenoiser(nn.Module):
    """The ideal denoiser of data ~ N(mean, width^2 I): E[clean | x] by completing the square.

    Its probability-flow ODE is linear, so the way from sigma_a to sigma_b has a closed form, :meth:`flow`.
    """

    def __init__(self, mean: float = 0.3, width: float = 0.5, sigma_min: float = 0.05, sigma_max: float = 20.0):
        super().__init__()
        self.mean, self.width = mean, width
        self.sigma_min, self.sigma_max, self.table = sigma_min, sigma_max, None
        self.calls = 0

    def predict(self, x: Tensor, sigma: Tensor, cond=None) -> Prediction:
        denoised = self(x, sigma, cond)
        return Prediction(denoised, output=denoised)

    def forward(self, x: Tensor, sigma: Tensor, cond=None) -> Tensor:
        self.calls += 1
        s2 = sigma.view(-1, 1, 1, 1) ** 2
        return self.mean + self.width**2 / (self.width**2 + s2) * (x - self.mean)

    def flow(self, x: Tensor, sigma_a: float, sigma_b: float) -> Tensor:
        """Return where x at sigma_a arrives at sigma_b: its distance from the mean in standard deviations is kept."""
        ratio = (self.width**2 + sigma_b**2) / (self.width**2 + sigma_a**2)
        return self.mean + (x - self.mean) * ratio**0.5


@pytest.fixture
def gaussian() -> type[GaussianDenoiser]:
    return GaussianDenoiser


@pytest.fixture
def noise() -> Tensor:
    """Four images of unit noise, float64, so that rounding hides no order of convergence."""
    return torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
