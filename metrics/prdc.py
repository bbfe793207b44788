"""Precision, recall, density and coverage: whether images look real, and whether all kinds of real ones appear.

Precision and recall: Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models",
https://arxiv.org/abs/1904.06991, equations 1 and 2. Density and coverage: Naeem et al. 2020, "Reliable Fidelity and
Diversity Metrics for Generative Models", https://arxiv.org/abs/2002.09797, equations 3 and 4.
"""

import torch
from torch import Tensor

from metrics.base import SetMetric
from metrics.features import FeatureSpec
from metrics.registry import metrics_registry
from utils.errors import MetricError
from utils.schema import PositiveInt


@metrics_registry.add_to_registry(name="prdc")
class PRDC(SetMetric):
    """Shares between 0 and 1 (density may exceed 1), from balls around images that reach to their k-th neighbour.

    Without settings of its own it shares the features of the metric beside it. All four depend on the number
    of images: compare sets of the same size only.
    """

    results = ("precision", "recall", "density", "coverage")

    def __init__(
        self,
        k: PositiveInt = 5,
        dims: PositiveInt | None = None,
        weights_path: str | None = None,
        network: str | None = None,
    ):
        named = any(value is not None for value in (network, dims, weights_path))
        super().__init__(FeatureSpec.of(network, dims, weights_path) if named else None)
        self.k = k

    def compute(self) -> dict[str, float]:
        """Return the four by name. Raises ``MetricError`` when a set has not more than k images."""
        real, fake = self.sets()
        if min(len(real), len(fake)) <= self.k:
            raise MetricError(f"prdc needs more than k={self.k} images on each side: lower metrics_args.prdc.k")
        return {self.name(stem): value for stem, value in prdc(real, fake, self.k).items()}


def prdc(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    """Return the four figures for features [N, D] and [M, D]."""
    real_radii, fake_radii = neighbour_distance(real, k), neighbour_distance(fake, k)  # [N], [M]
    distances = torch.cdist(real.double(), fake.double())  # [N, M]
    in_real_ball = distances <= real_radii[:, None]  # the fake image lies in the real image's ball
    in_fake_ball = distances <= fake_radii[None, :]  # the real image lies in the fake image's ball
    return {
        "precision": in_real_ball.any(dim=0).double().mean().item(),
        "recall": in_fake_ball.any(dim=1).double().mean().item(),
        "density": in_real_ball.double().sum(dim=0).mean().item() / k,
        "coverage": in_real_ball.any(dim=1).double().mean().item(),
    }


def neighbour_distance(features: Tensor, k: int) -> Tensor:
    """Return each image's distance to its k-th nearest other image, float64 [N]."""
    distances = torch.cdist(features.double(), features.double())
    distances.fill_diagonal_(0)
    return distances.kthvalue(k + 1, dim=1).values  # the nearest is the image itself
