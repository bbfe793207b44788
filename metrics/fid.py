"""Frechet Inception Distance. Heusel et al. 2017, https://arxiv.org/abs/1706.08500, equation 6."""

import torch
from torch import Tensor

from metrics.base import SetMetric
from metrics.features import FeatureSpec
from metrics.registry import metrics_registry
from utils.schema import PositiveInt


@metrics_registry.add_to_registry(name="fid")
class FID(SetMetric):
    """The Frechet distance of two Gaussians fitted to the features of real and generated images.

    The result is ``fid`` for the standard 2048 dims; for others, which are on another scale, ``fid768`` and so on, and
    ``fid_dinov2`` for another network. ``weights_path=None`` is pytorch-fid's own download.
    """

    results = ("fid",)

    def __init__(self, dims: PositiveInt | None = None, weights_path: str | None = None, network: str | None = None):
        super().__init__(FeatureSpec.of(network, dims, weights_path))

    def compute(self) -> dict[str, float]:
        """Return the distance. Raises ``ValueError`` with fewer than 2 images on a side."""
        return {self.name("fid"): feature_distance(*self.sets())}


def feature_distance(features1: Tensor, features2: Tensor) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 sqrt(C1 C2)) of the means and covariances of features [N, D] and [M, D].

    In float64. With C = root^T root the eigenvalues of C1 C2 are the squared singular values of root1 root2^T, so the
    trace of the square root is their plain sum: no square root of a matrix, nothing squared that would lose half the
    digits. Exact for fewer images than dimensions too: the covariances, singular then, are never formed.
    """
    features1, features2 = features1.double(), features2.double()
    root1, root2 = covariance_root(features1), covariance_root(features2)
    trace_of_root = torch.linalg.svdvals(root1 @ root2.T).sum()
    apart = (features1.mean(0) - features2.mean(0)).square().sum()
    distance = apart + root1.square().sum() + root2.square().sum() - 2 * trace_of_root
    return max(float(distance), 0.0)  # equal Gaussians: rounding may leave -1e-13


def covariance_root(features: Tensor) -> Tensor:
    """Return a root [min(N, D), D] of the unbiased covariance of features [N, D]: root^T root."""
    centred = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if len(centred) > centred.shape[1] else centred
