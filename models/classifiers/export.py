"""A trained classifier as one file that needs nothing else: weights, architecture and class names, in safetensors.

Others than its trainer open it: a metric that asks what generated pictures show, a guidance.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.classifiers.noisy import NoisyClassifier
from models.exported import read_network, write_network
from models.registry import classifiers_registry
from utils.errors import ConfigError
from utils.files import sha256_of
from utils.images import to_float


@dataclass(frozen=True)
class Description:
    """What stands in the file beside the weights."""

    model: str  # a name in classifiers_registry
    arguments: dict[str, Any]  # of its constructor, the data's included
    class_names: list[str]  # logit i is class_names[i]
    about: dict[str, Any]  # where the weights come from, and how good they are


class Classifier(nn.Module):
    """uint8 images [N, C, H, W] into logits float32 [N, K], with what a reader must know of them."""

    def __init__(self, network: nn.Module, described: Description, weights_hash: str):
        super().__init__()
        self.network = network
        self.class_names = tuple(described.class_names)
        self.image_size: int = described.arguments["image_size"]  # pixels a side
        self.about = described.about
        self.weights_hash = weights_hash  # sha256 of the file

    def forward(self, images: Tensor) -> Tensor:
        """Raises ``ValueError`` for images that are not uint8 of its size."""
        if tuple(images.shape[2:]) != (self.image_size, self.image_size):
            raise ValueError(f"this classifier takes {self.image_size} pixels a side, not {tuple(images.shape)}")
        return self.network(to_float(images)).float()


def export_classifier(path: Path, network: nn.Module, described: Description) -> None:
    """Write the file, whole or not at all."""
    write_network(path, network, classifiers_registry.kind, asdict(described))


def load_classifier(path: str | Path, key: str = "path") -> Classifier:
    """Open a classifier of clean pictures, in eval mode on the CPU. Never runs code from the file.

    ``key`` is the setting that names it. Raises :class:`ConfigError` when there is no such file or it needs to be told
    the noise, :class:`DataError` when it is no export of this project.
    """
    network, described = read_classifier(path, key)
    if described.arguments.get("noise_conditional"):
        raise ConfigError(f"{path} is a classifier of noisy pictures, for guidance: train one without train.levels")
    return Classifier(network, described, sha256_of(path)).eval()


def load_noisy_classifier(path: str | Path, key: str = "path") -> NoisyClassifier:
    """Open a classifier that is told how noisy pictures are, in eval mode on the CPU. Errors as above."""
    network, described = read_classifier(path, key)
    if not described.arguments.get("noise_conditional"):
        raise ConfigError(f"{path} was trained on clean pictures: train one with train.levels, such as lognormal")
    return NoisyClassifier(network, tuple(described.class_names)).eval()


def read_classifier(path: str | Path, key: str = "path") -> tuple[nn.Module, Description]:
    """Build the network that a file describes, with its weights; nothing in it is trained any more."""
    network, described = read_network(path, classifiers_registry, "classify", key)
    return network, Description(**described)
