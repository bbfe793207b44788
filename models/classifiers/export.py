"""A trained classifier as one file that needs nothing else: weights, architecture and class names, in safetensors.

Others than its trainer open it: a metric that asks what generated pictures show, a guidance.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from models.classifiers.noisy import NoisyClassifier
from models.registry import classifiers_registry
from utils.errors import ConfigError, DataError
from utils.files import whole_file
from utils.images import to_float

FORMAT = "mise classifier 1"


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
    weights = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    with whole_file(path, "wb") as file:
        file.write(save(weights, {"format": FORMAT, "description": json.dumps(asdict(described))}))


def load_classifier(path: str | Path) -> Classifier:
    """Open a classifier of clean pictures, in eval mode on the CPU. Never runs code from the file.

    Raises :class:`ConfigError` when there is no such file or it needs to be told the noise, :class:`DataError` when it
    is no export of this project.
    """
    network, described = read_classifier(path)
    if described.arguments.get("noise_conditional"):
        raise ConfigError(f"{path} is a classifier of noisy pictures, for guidance: train one without train.levels")
    with open(path, "rb") as file:
        weights_hash = hashlib.file_digest(file, "sha256").hexdigest()
    return Classifier(network, described, weights_hash).eval()


def load_noisy_classifier(path: str | Path) -> NoisyClassifier:
    """Open a classifier that is told how noisy pictures are, in eval mode on the CPU. Errors as above."""
    network, described = read_classifier(path)
    if not described.arguments.get("noise_conditional"):
        raise ConfigError(f"{path} was trained on clean pictures: train one with train.levels, such as lognormal")
    return NoisyClassifier(network, tuple(described.class_names)).eval()


def read_classifier(path: str | Path) -> tuple[nn.Module, Description]:
    """Build the network that a file describes, with its weights; nothing in it is trained any more."""
    if not Path(path).is_file():
        raise ConfigError(f"there is no classifier {path}: the study `classify` of inference.py writes one")
    try:
        with safe_open(path, "pt") as file:
            metadata, weights = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(f"{path} is damaged or no safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise DataError(f"{path} is no classifier that this version can read: its format is {metadata.get('format')}")
    described = Description(**json.loads(metadata["description"]))
    try:
        network = classifiers_registry[described.model](**described.arguments)
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, ConfigError) as error:
        raise DataError(f"{path} does not fit this version of {described.model}: export it again") from error
    return network.requires_grad_(False), described
