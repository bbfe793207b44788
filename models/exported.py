"""A trained network as one file that needs nothing else: weights, architecture and what else a reader must know.

Written by the study of a family, opened by whoever uses the network: a metric, a guidance, a codec. The file is
safetensors; nothing in it is ever run.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from utils.class_registry import ClassRegistry
from utils.errors import ConfigError, DataError
from utils.files import whole_file


def write_network(path: Path, network: nn.Module, kind: str, described: dict[str, Any]) -> None:
    """Write the file, whole or not at all. ``described`` holds ``model`` and ``arguments`` among what JSON can hold."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    with whole_file(path, "wb") as file:
        file.write(save(weights, {"format": f"mise {kind} 1", "description": json.dumps(described)}))


def read_network(path: str | Path, registry: ClassRegistry, study: str, key: str) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network that a file describes, with its weights; nothing in it is trained any more.

    Raises :class:`ConfigError` when there is no such file, which ``study`` writes and config key ``key`` names,
    :class:`DataError` when it is no export of a network of ``registry``.
    """
    kind = registry.kind
    if not Path(path).is_file():
        near = f"near it lie {', '.join(exports_near(Path(path)))}; " if exports_near(Path(path)) else ""
        raise ConfigError(
            f"{key}={path}: there is no such {kind}; {near}the study `{study}` of inference.py writes one"
        )
    try:
        with safe_open(path, "pt") as file:
            metadata, weights = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(
            f"{path} is damaged or no safetensors file ({error}): the study `{study}` writes it again"
        ) from error
    if metadata.get("format") != f"mise {kind} 1":
        raise DataError(f"{path} is no {kind} that this version can read: its format is {metadata.get('format')}")
    described = json.loads(metadata["description"])
    try:
        return rebuild(registry, described, weights), described
    except (RuntimeError, TypeError, ConfigError) as error:
        raise DataError(f"{path} does not fit this version of {described['model']}: export it again") from error


def rebuild(registry: ClassRegistry, described: dict[str, Any], weights: dict[str, Tensor]) -> nn.Module:
    """Build the network of a description with ``weights``; nothing in it is trained any more."""
    network = registry[described["model"]](**described["arguments"])
    network.load_state_dict(weights)
    return network.requires_grad_(False)


def exports_near(path: Path) -> list[str]:
    """List what may be meant by a path that is no file."""
    return sorted(map(str, (path if path.is_dir() else path.parent).glob("*.safetensors")))
