"""How close an image is to another one: a reconstruction to its original."""

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.base import PairMetric, PairOutcome
from metrics.registry import metrics_registry
from utils.errors import MetricError

PEAK = 255.0  # the largest value of a pixel
SIGMA, RADIUS = 1.5, 5  # pixels: the standard deviation of SSIM's window, and where it ends
K1, K2 = 0.01, 0.03


@metrics_registry.add_to_registry(name="psnr")
class PSNR(PairMetric):
    """Peak signal-to-noise ratio in decibels, 10 log10(255^2 / mean squared error), averaged over images.

    Equal images would be infinitely far above the noise; they count as if one grey level were wrong in one number.
    """

    name = "psnr"
    results = (name,)

    def of_pairs(self, outcome: PairOutcome) -> Tensor:
        squares = (outcome.images.double() - outcome.others.double()).square().flatten(1)  # [N, CHW]
        mse = squares.mean(dim=1).clamp(min=1 / squares.shape[1])
        return 10 * torch.log10(PEAK**2 / mse)


@metrics_registry.add_to_registry(name="ssim")
class SSIM(PairMetric):
    """Structural similarity, 1 for equal images (Wang et al. 2004, equations 13 to 17).

    As in the paper: Gaussian windows of 11 by 11, those that lie in the image, population variances; the mean over
    places and colours.
    """

    name = "ssim"
    results = (name,)

    def of_pairs(self, outcome: PairOutcome) -> Tensor:
        """Raises ``MetricError`` when the images are smaller than a window."""
        if min(outcome.images.shape[2:]) <= 2 * RADIUS:
            raise MetricError(f"ssim looks at windows of {2 * RADIUS + 1} pixels, the images are smaller: leave it out")
        x, y = outcome.images.double(), outcome.others.double()
        mu_x, mu_y, xx, yy, xy = (windowed(z) for z in (x, y, x * x, y * y, x * y))  # [N, C, H - 10, W - 10] each
        c1, c2 = (K1 * PEAK) ** 2, (K2 * PEAK) ** 2
        luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
        structure = (2 * (xy - mu_x * mu_y) + c2) / (xx - mu_x**2 + yy - mu_y**2 + c2)
        return (luminance * structure).mean(dim=(1, 2, 3))


def windowed(x: Tensor) -> Tensor:
    """Return the Gaussian-weighted mean of every window of x [N, C, H, W] that lies in the image."""
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=x.dtype, device=x.device)
    weights = torch.softmax(-(offsets**2) / (2 * SIGMA**2), dim=0)
    rows = weights.view(1, 1, -1, 1).expand(x.shape[1], 1, -1, 1)
    blurred = F.conv2d(x, rows, groups=x.shape[1])
    return F.conv2d(blurred, rows.transpose(2, 3), groups=x.shape[1])
