"""Kernel Inception Distance. Binkowski et al. 2018, "Demystifying MMD GANs", https://arxiv.org/abs/1801.01401."""

from typing import Literal

from metrics.base import SetMetric
from metrics.features import FeatureSpec
from metrics.registry import metrics_registry
from utils.errors import MetricError
from utils.schema import NonNegativeInt, PositiveInt


@metrics_registry.add_to_registry(name="kid")
class KID(SetMetric):
    """The squared maximum mean discrepancy under the kernel (x.y / D + 1)^3, unbiased at any number of images.

    The mean over ``subsets`` random draws of ``subset_size`` images (None: the usual 1000, or half of the smaller set
    where that is less) and, as ``kid_std``, the spread of the draws: of one draw, not the error of the mean. Slightly
    below zero is a valid value. Without ``dims`` and ``weights_path`` it shares the features of the metric beside it.
    """

    def __init__(
        self,
        dims: Literal[64, 192, 768, 2048] | None = None,
        weights_path: str | None = None,
        subsets: PositiveInt = 100,
        subset_size: PositiveInt | None = None,
        seed: NonNegativeInt = 0,
    ):
        named = dims is not None or weights_path is not None
        super().__init__(FeatureSpec("inception", dims or 2048, weights_path) if named else None)
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
        return {name: found[metric_kid.KEY_METRIC_KID_MEAN], f"{name}_std": found[metric_kid.KEY_METRIC_KID_STD]}

    def _size(self, count: int) -> int:
        size = self.subset_size or max(2, min(1000, count // 2))
        if not 2 <= size <= count:
            fix = "set metrics_args.kid.subset_size to a number in between, or leave it out"
            raise MetricError(f"KID draws subsets of 2 to {count} images, the smaller set, not of {size}: {fix}")
        return size
