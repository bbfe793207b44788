"""From images to the features that metrics compare: which network, one pass over the images, and a cache."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from metrics.registry import features_registry
from utils.cache import cache_dir, fingerprint
from utils.errors import ConfigError, MetricError
from utils.files import whole_file

logger = logging.getLogger(__name__)
STANDARD = "inception"  # the network that FID is defined on: results by another carry its name


@dataclass(frozen=True)
class FeatureSpec:
    """Which features a metric judges. Metrics with equal specs share one network and one pass over the images."""

    network: str = STANDARD  # a name in features_registry
    dims: int = 2048
    weights_path: str | None = None  # None: the network's own download

    @classmethod
    def of(cls, network: str | None, dims: int | None, weights_path: str | None) -> "FeatureSpec":
        """Return the spec of what a config says; what it leaves out is the standard.

        Raises :class:`ConfigError` for a network or dims that do not exist.
        """
        network = network or STANDARD
        choices = features_registry.find(network, "network").choices
        if dims not in (None, *choices):
            raise ConfigError(f"dims={dims}: {network} has {listed(sorted(choices))}")
        return cls(network, dims or choices[0], weights_path)

    @property
    def suffix(self) -> str:
        """What a result's name carries: nothing for the standard, else ``768``, ``_dinov2`` or ``_dinov2_384``."""
        standard = self.dims == features_registry[self.network].choices[0]
        if self.network == STANDARD:
            return "" if standard else str(self.dims)
        return f"_{self.network}" if standard else f"_{self.network}_{self.dims}"


def listed(choices: Sequence[int]) -> str:
    """Write numbers as a person lists them: 1, 2 or 3."""
    *others, last = map(str, choices)
    return f"{', '.join(others)} or {last}" if others else last


class FeatureNetwork(Protocol):
    """What ``features_registry`` holds: an ``nn.Module`` built from ``dims`` and ``weights_path``, in eval mode."""

    choices: tuple[int, ...]  # the dims there are, the standard first
    dims: int
    weights_hash: str  # sha256 of the weights file
    preprocessing: str  # all that happens to an image before the network, and its version
    batch_size: dict[str, int]  # device type: images a pass

    def __call__(self, images: Tensor) -> Tensor:
        """Turn uint8 [N, C, H, W] into float32 [N, dims]."""


@dataclass(frozen=True)
class ImageSet:
    """A set of images that stays: its features are computed when they are first asked for, and then kept."""

    content_key: str  # changes whenever an image of the set does
    count: int
    batches: Callable[[], Iterable[Tensor]]  # starts a pass: uint8 [N, C, H, W] at a time

    @classmethod
    def of(cls, dataset: Any, rows: Sequence[int] | None = None, batch_size: int = 256) -> "ImageSet":
        """Make the set of a dataset's images (see ``datasets.base``), or of those in ``rows``."""
        picked = np.arange(len(dataset)) if rows is None else np.asarray(rows, dtype=np.int64)

        def batches() -> Iterable[Tensor]:
            return (dataset.images_at(picked[i : i + batch_size]) for i in range(0, len(picked), batch_size))

        key = fingerprint(dataset.content_key, tuple(dataset.image_shape), picked.tobytes())
        return cls(key, len(picked), batches)


def load_network(spec: FeatureSpec, device: torch.device | str) -> FeatureNetwork:
    """Build the network of ``spec`` on ``device``. Raises ``MetricError`` when its weights cannot be had.

    Channels-last memory takes a third off its time on a CPU; features differ by 5e-7 of their size.
    """
    network = features_registry[spec.network](dims=spec.dims, weights_path=spec.weights_path)
    return network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


@torch.no_grad()
def extract(
    networks: dict[FeatureSpec, FeatureNetwork],
    batches: Iterable[Tensor],
    device: torch.device | str,
    total: int,
    what: str,
) -> dict[FeatureSpec, Tensor]:
    """Run every network over the images in one pass; a progress bar shows where there is a terminal.

    Returns float32 [N, D] on the CPU for each spec. Raises ``ValueError`` for images that are not uint8 [N, C, H, W].
    """
    device = torch.device(device)
    size = min((network.batch_size.get(device.type, 64) for network in networks.values()), default=64)
    parts: dict[FeatureSpec, list[Tensor]] = {spec: [] for spec in networks}
    with tqdm(total=total, desc=f"features of {what} images", unit="image", leave=False, disable=None) as bar:
        for images in chunks(batches, size):
            for spec, network in networks.items():
                parts[spec].append(network(images.to(device)).float().cpu())
            bar.update(len(images))
    return {spec: torch.cat(found) if found else torch.empty(0, spec.dims) for spec, found in parts.items()}


def chunks(batches: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Cut batches of images into pieces of at most ``size``; refuse what are no images."""
    for images in batches:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(f"images are uint8 [N, C, H, W], not {images.dtype} {tuple(images.shape)}")
        yield from images.split(size)


def set_features(
    spec: FeatureSpec, network: FeatureNetwork, images: ImageSet, device: torch.device | str, what: str
) -> Tensor:
    """Return the features of a set of images, float32 [N, D]: from the cache, or computed and kept there.

    The key holds everything the features depend on, so whatever has changed, an old file is not found.
    Raises ``MetricError`` when the set gives another number of images than it says.
    """
    key = fingerprint(
        images.content_key, images.count, spec.network, spec.dims, network.weights_hash, network.preprocessing
    )
    path = cache_dir() / "features" / f"{key}.npy"
    features = _read(path, (images.count, spec.dims))
    if features is None:
        features = extract({spec: network}, images.batches(), device, images.count, what)[spec]
        if len(features) != images.count:
            raise MetricError(f"the {what} set should hold {images.count} images, but gave {len(features)}")
        _write(path, features)
    return features


def _read(path: Path, shape: tuple[int, int]) -> Tensor | None:
    """Return what ``path`` holds; None where there is no such file, or none that is whole."""
    try:
        features = np.load(path)
    except (OSError, ValueError, EOFError):
        return None
    # Of a zip file NumPy makes something else than an array.
    whole = isinstance(features, np.ndarray) and features.shape == shape and features.dtype == np.float32
    return torch.from_numpy(features) if whole else None


def _write(path: Path, features: Tensor) -> None:
    """Write whole or not at all. Where nothing can be written the features are computed again next time: a warning."""
    try:
        with whole_file(path, "wb") as file:
            np.save(file, features.numpy())
    except OSError as error:
        logger.warning("features of images are not kept (%s): set MISE_CACHE to a folder with room", error)
