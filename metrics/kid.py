"""Kernel Inception Distance. Binkowski et al. 2018, "Demystifying MMD GANs", https://arxiv.org/abs/1801.01401."""

import torch
from torch import Tensor

from metrics.base import SetMetric
from metrics.features import FeatureSpec
from metrics.registry import metrics_registry
from utils.errors import MetricError
from utils.schema import NonNegativeInt, PositiveInt


@metrics_registry.add_to_registry(name="kid")
class KID(SetMetric):
    """The squared maximum mean discrepancy under the kernel (x.y / D + 1)^3, unbiased at any number of images.

    The mean over ``subsets`` random draws of ``subset_size`` images (None: the usual 1000, or half of the smaller set
    where that is less). ``kid_std`` is the spread of the draws, as everybody reports it: of one draw, not the error of
    the mean. ``kid_se`` is the standard error, what other images of the same two distributions would change: the
    jackknife over both sets. Slightly below zero is a valid value. Without settings of its own it shares the
    features of the metric beside it.
    """

    results = ("kid",)

    def __init__(
        self,
        dims: PositiveInt | None = None,
        weights_path: str | None = None,
        network: str | None = None,
        subsets: PositiveInt = 100,
        subset_size: PositiveInt | None = None,
        seed: NonNegativeInt = 0,
    ):
        named = any(value is not None for value in (network, dims, weights_path))
        super().__init__(FeatureSpec.of(network, dims, weights_path) if named else None)
        self.subsets = subsets
        self.subset_size = subset_size
        self.seed = seed

    def compute(self) -> dict[str, float]:
        """Return mean and spread. Raises ``MetricError`` when a set is smaller than ``subset_size``."""
        from torch_fidelity import metric_kid  # takes a second to import

        real, fake = self.sets()
        size = self._size(min(len(real), len(fake)))
        found = metric_kid.kid_features_to_metric(
            real, fake, kid_subsets=self.subsets, kid_subset_size=size, rng_seed=self.seed, verbose=False
        )
        name = self.name("kid")
        results = {name: found[metric_kid.KEY_METRIC_KID_MEAN], f"{name}_std": found[metric_kid.KEY_METRIC_KID_STD]}
        few = min(len(real), len(fake)) < 3  # no image can be left out
        return results if few else {**results, f"{name}_se": standard_error(real, fake)}

    def _size(self, count: int) -> int:
        size = self.subset_size or max(2, min(1000, count // 2))
        if not 2 <= size <= count:
            fix = "set metrics_args.kid.subset_size to a number in between, or leave it out"
            raise MetricError(f"KID draws subsets of 2 to {count} images, the smaller set, not of {size}: {fix}")
        return size


def unbiased_mmd(x: Tensor, y: Tensor) -> float:
    """Return the unbiased estimate from all of x [N, D] and y [M, D] at once, N and M at least 2."""
    x, y = x.double(), y.double()
    within = sum((kernel_sums(s, s).sum() - kernel(s, s).sum()) / (len(s) * (len(s) - 1)) for s in (x, y))
    return float(within - 2 * kernel_sums(x, y).sum() / (len(x) * len(y)))


def standard_error(x: Tensor, y: Tensor) -> float:
    """Return the standard error of the unbiased estimate from all of x [N, D] and y [M, D], N and M at least 3.

    The jackknife for two independent samples (Arvesen 1969): each image is left out in turn, and the variances that
    the two sets contribute add up.
    """
    x, y = x.double(), y.double()
    across_x, across_y = kernel_sums(x, y), kernel_sums(y, x)  # [N], [M]
    variance = sum(
        leaving_one_out(kernel_sums(own, own) - kernel(own, own), across, len(other))
        for own, across, other in ((x, across_x, y), (y, across_y, x))
    )
    return float(variance**0.5)


def leaving_one_out(within: Tensor, across: Tensor, other: int) -> Tensor:
    """Return the variance of the estimate that one set contributes.

    ``within`` [N]: each image's kernels with the others of its set, summed; ``across`` [N]: with the ``other`` images
    of the other set. What depends on the other set alone is the same for all and drops out.
    """
    n = len(within)
    estimates = (within.sum() - 2 * within) / ((n - 1) * (n - 2)) - 2 * (across.sum() - across) / ((n - 1) * other)
    return (n - 1) / n * (estimates - estimates.mean()).square().sum()


def kernel_sums(x: Tensor, y: Tensor) -> Tensor:
    """Return [N]: each row's kernels with all rows of y, summed; a block at a time, for the memory."""
    return torch.cat([((block @ y.T / y.shape[1] + 1) ** 3).sum(1) for block in x.split(2048)])


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return the kernel of row i of x with row i of y, [N]."""
    return ((x * y).sum(1) / x.shape[1] + 1) ** 3
