"""Frechet Inception Distance. Heusel et al. 2017, https://arxiv.org/abs/1706.08500, equation 6."""

import torch
from numpy.typing import ArrayLike
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
    """Return the Frechet distance of the Gaussians fitted to features [N, D] and [M, D], in float64.

    Exact for fewer images than dimensions too: the covariances, singular then, are never formed.
    """
    features1, features2 = features1.double(), features2.double()
    return _distance(features1.mean(0), _sample_root(features1), features2.mean(0), _sample_root(features2))


def frechet_distance(mean1: ArrayLike, cov1: ArrayLike, mean2: ArrayLike, cov2: ArrayLike) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 sqrt(C1 C2)) for means [D] and covariances [D, D], in float64.

    Raises ``ValueError`` for shapes that do not fit, or a matrix that is no covariance.
    """
    mean1, cov1, mean2, cov2 = (torch.as_tensor(value, dtype=torch.float64) for value in (mean1, cov1, mean2, cov2))
    if not cov1.shape == cov2.shape == (*mean1.shape, *mean2.shape) or mean1.ndim != 1:
        shapes = ", ".join(str(tuple(value.shape)) for value in (mean1, cov1, mean2, cov2))
        raise ValueError(f"two means [D] and two covariances [D, D] are wanted, not {shapes}")
    return _distance(mean1, _covariance_root(cov1), mean2, _covariance_root(cov2))


def _distance(mean1: Tensor, root1: Tensor, mean2: Tensor, root2: Tensor) -> float:
    """Return the distance for covariances C = root^T root with any number of rows.

    The eigenvalues of C1 C2 are the squared singular values of root1 root2^T, so the trace of the square root is
    their plain sum: no square root of a matrix, nothing squared that would lose half the digits.
    """
    trace_of_root = torch.linalg.svdvals(root1 @ root2.T).sum()
    distance = (mean1 - mean2).square().sum() + root1.square().sum() + root2.square().sum() - 2 * trace_of_root
    return max(float(distance), 0.0)  # equal Gaussians: rounding may leave -1e-13


def _sample_root(features: Tensor) -> Tensor:
    """Return a root [min(N, D), D] of the unbiased covariance of features [N, D]."""
    centred = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if len(centred) > centred.shape[1] else centred


def _covariance_root(cov: Tensor) -> Tensor:
    """Return a root [rank, D] of a covariance [D, D]; eigenvalues within rounding of zero are zero."""
    eigenvalues, vectors = torch.linalg.eigh((cov + cov.T) / 2)
    rounding = len(cov) * torch.finfo(cov.dtype).eps * eigenvalues.abs().max()
    if not torch.allclose(cov, cov.T, rtol=1e-6, atol=float(rounding)) or eigenvalues.min() < -1e-6 * eigenvalues.max():
        raise ValueError("a covariance is symmetric, and has no negative eigenvalues")
    kept = eigenvalues > rounding
    return eigenvalues[kept].sqrt()[:, None] * vectors[:, kept].T
