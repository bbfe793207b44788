"""A trained autoencoder as one file (see ``models/exported.py``): what a codec opens."""

from pathlib import Path
from typing import Any

from models.autoencoders.base import Autoencoder
from models.exported import read_network, write_network
from models.registry import autoencoders_registry


def export_autoencoder(
    path: Path, network: Autoencoder, model: str, arguments: dict[str, Any], about: dict[str, Any]
) -> None:
    """Write the file, whole or not at all: ``model`` with its ``arguments``, where it comes from, how good it is."""
    described = {"model": model, "arguments": arguments, "about": about}
    write_network(path, network, autoencoders_registry.kind, described)


def read_autoencoder(path: str | Path, key: str = "path") -> tuple[Autoencoder, dict[str, Any]]:
    """Open an export, and what it says of itself. Raises as :func:`models.exported.read_network` does."""
    return read_network(path, autoencoders_registry, "reconstruct", key)
