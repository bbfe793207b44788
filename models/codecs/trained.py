"""An autoencoder of this project as a codec."""

from typing import Any

from torch import Tensor

from models.autoencoders.export import read_autoencoder
from models.codecs.base import LatentCodec
from models.exported import rebuild
from models.registry import autoencoders_registry, codecs_registry
from utils.errors import ConfigError
from utils.files import sha256_of


@codecs_registry.add_to_registry(name="autoencoder")
class AutoencoderCodec(LatentCodec):
    """``path``: a file that the study ``reconstruct`` wrote. ``kept``: what a checkpoint holds of the codec, if there
    is one: the file is not opened then.

    Raises :class:`ConfigError` when the autoencoder is for other images, or there is no such file.
    """

    def __init__(self, image_size: int, image_channels: int, path: str, kept: dict[str, Any] | None = None):
        if kept:
            network = rebuild(autoencoders_registry, kept["described"], kept["weights"])
            super().__init__(network, kept["described"], kept["origin"], kept["std"])
        else:
            network, described = read_autoencoder(path)
            origin = {"sha256": sha256_of(path), **described.pop("about")}
            super().__init__(network, described, origin)
        made_for = self.described["arguments"]
        if (made_for["image_size"], made_for["image_channels"]) != (image_size, image_channels):
            raise ConfigError(
                f"the autoencoder is for images of {made_for['image_size']} pixels and {made_for['image_channels']} "
                f"channels, the data has {image_size} and {image_channels}: train one on this data"
            )
        self.latent_shape = network.latent_shape

    def mean(self, images: Tensor) -> Tensor:
        return self.network.encode(images).mean

    def images_of(self, z: Tensor) -> Tensor:
        return self.network.decode(z)
