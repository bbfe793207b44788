"""From images to numbers: every metric that judges sets of images, in one pass over the images."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from metrics.base import SetMetric, SetOutcome
from metrics.features import FeatureNetwork, FeatureSpec, ImageSet, extract, load_network, set_features
from utils.errors import MetricError
from utils.stages import Stages

Features = dict[FeatureSpec, Tensor]  # what each network sees in a set, float32 [N, D]


class Judge:
    """Compares generated images with real ones.

    ``metrics`` are set metrics by name. One that names no features shares those of the first that does, and takes the
    ``standard`` ones where none does. Each feature network runs once over the images, whichever metrics need it;
    features of the real images are kept on disk. ``stages`` counts the seconds of features and of distances.
    """

    def __init__(
        self, metrics: dict[str, SetMetric], device: torch.device | str = "cpu", standard: FeatureSpec | None = None
    ):
        for name, metric in metrics.items():
            if not isinstance(metric, SetMetric):
                raise TypeError(f"metric '{name}' does not compare two sets of images")
        shared = next((metric.features for metric in metrics.values() if metric.features), standard or FeatureSpec())
        for metric in metrics.values():
            metric.features = metric.features or shared
        self.metrics = metrics
        self.device = torch.device(device)
        self.networks: dict[FeatureSpec, FeatureNetwork] = {}
        self.stages = Stages()
        self._judged: dict[str, Any] = {}

    def prepare(self) -> None:
        """Load the feature networks. Raises ``MetricError`` when weights are missing: call it before long work."""
        for metric in self.metrics.values():
            if metric.features not in self.networks:
                self.networks[metric.features] = load_network(metric.features, self.device)

    def evaluate(
        self, real: ImageSet, fakes: Iterable[Tensor] | ImageSet, allow_fewer: bool = False
    ) -> dict[str, float]:
        """Return every result by name, for generated images uint8 [N, C, H, W] that come batch by batch, or as a set.

        The generated set must be as large as the real one, because the bias of FID depends on its size;
        ``allow_fewer`` lets it be smaller, for a cheap look during training. Raises ``MetricError`` otherwise.
        """
        self.prepare()
        real_features = self.features(real)
        if isinstance(fakes, ImageSet):
            count = fakes.count
            check_count(count, real.count, allow_fewer)
            fake_features = self.features(fakes, "generated")
        else:
            counted = _Counted(fakes, real.count)
            with self.stages("features"):
                fake_features = extract(self.networks, counted, self.device, real.count, "generated")
            count = counted.count
            check_count(count, real.count, allow_fewer)
        self._judged = {"real_images": real.count, "fake_images": count, "real_content": real.content_key}
        return self.compare(real_features, fake_features)

    def features(self, images: ImageSet, what: str = "real") -> Features:
        """Return what every network sees in a set, float32 [N, D]: from the cache, or computed and kept there."""
        self.prepare()
        with self.stages("features"):
            return {spec: set_features(spec, net, images, self.device, what) for spec, net in self.networks.items()}

    def compare(self, real: Features, fake: Features) -> dict[str, float]:
        """Return every result by name for the features of two sets."""
        results: dict[str, float] = {}
        with self.stages("distances"):
            for metric in self.metrics.values():
                metric.reset()
                metric.update(SetOutcome(real[metric.features], fake[metric.features]))
                results |= metric.compute()
                metric.reset()
        return results

    def provenance(self) -> dict[str, Any]:
        """Return what the last results rest on, as JSON holds it: counts, and each metric's network and weights."""
        self.prepare()
        described = {name: self._describe(metric.features) for name, metric in self.metrics.items()}
        return {**self._judged, "features": described}

    def _describe(self, spec: FeatureSpec) -> dict[str, Any]:
        network = self.networks[spec]
        return {
            "network": spec.network,
            "dims": spec.dims,
            "weights_sha256": network.weights_hash,
            "preprocessing": network.preprocessing,
        }


class _Counted:
    """Hands batches on and counts their images; stops as soon as there are more than there should be."""

    def __init__(self, batches: Iterable[Tensor], wanted: int):
        self.batches, self.wanted, self.count = batches, wanted, 0

    def __iter__(self):
        for images in self.batches:
            self.count += len(images)
            check_count(self.count, self.wanted, allow_fewer=True)
            yield images


def check_count(count: int, wanted: int, allow_fewer: bool = False) -> None:
    """Raise ``MetricError`` when there are not as many generated images as real ones."""
    if count > wanted or (count < wanted and not allow_fewer):
        found = f"{count} or more" if count > wanted else str(count)
        raise MetricError(f"{found} generated images, {wanted} real: the sets must be equally large, generate {wanted}")
