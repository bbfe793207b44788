"""From images to numbers: every metric that judges sets of images, in one pass over the images."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from metrics.base import SetMetric, SetOutcome
from metrics.features import FeatureNetwork, FeatureSpec, ImageSet, extract, load_network, real_features
from utils.errors import MetricError


class Judge:
    """Compares generated images with real ones.

    ``metrics`` are set metrics by name. One that names no features shares those of the first that does, and takes the
    standard ones where none does. Each feature network runs once over the images, whichever metrics need it; features
    of the real images are kept on disk.
    """

    def __init__(self, metrics: dict[str, SetMetric], device: torch.device | str = "cpu"):
        for name, metric in metrics.items():
            if not isinstance(metric, SetMetric):
                raise TypeError(f"metric '{name}' does not compare two sets of images")
        shared = next((metric.features for metric in metrics.values() if metric.features), FeatureSpec())
        for metric in metrics.values():
            metric.features = metric.features or shared
        self.metrics = metrics
        self.device = torch.device(device)
        self.networks: dict[FeatureSpec, FeatureNetwork] = {}
        self._judged: dict[str, Any] = {}

    def prepare(self) -> None:
        """Load the feature networks. Raises ``MetricError`` when weights are missing: call it before long work."""
        for metric in self.metrics.values():
            if metric.features not in self.networks:
                self.networks[metric.features] = load_network(metric.features, self.device)

    def evaluate(self, real: ImageSet, fakes: Iterable[Tensor], allow_fewer: bool = False) -> dict[str, float]:
        """Return every result by name, for generated images uint8 [N, C, H, W] that come batch by batch.

        The generated set must be as large as the real one, because the bias of FID depends on its size;
        ``allow_fewer`` lets it be smaller, for a cheap look during training. Raises ``MetricError`` otherwise.
        """
        self.prepare()
        real_by_spec = {spec: real_features(spec, net, real, self.device) for spec, net in self.networks.items()}
        counted = _Counted(fakes, real.count)
        fake_by_spec = extract(self.networks, counted, self.device, real.count, "generated")
        counted.check(allow_fewer)
        self._judged = {"real_images": real.count, "fake_images": counted.count, "real_content": real.content_key}
        results: dict[str, float] = {}
        for metric in self.metrics.values():
            metric.reset()
            metric.update(SetOutcome(real_by_spec[metric.features], fake_by_spec[metric.features]))
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
            if self.count > self.wanted:
                self.check()
            yield images

    def check(self, allow_fewer: bool = False) -> None:
        if self.count > self.wanted or (self.count < self.wanted and not allow_fewer):
            found = f"{self.count} or more" if self.count > self.wanted else str(self.count)
            raise MetricError(
                f"{found} generated images, {self.wanted} real: the sets must be equally large, generate {self.wanted}"
            )
