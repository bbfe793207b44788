"""No codec: a diffusion model on pixels."""

from torch import Tensor

from models.codecs.base import Codec
from models.registry import codecs_registry


@codecs_registry.add_to_registry(name="identity")
class IdentityCodec(Codec):
    """The latents are the images."""

    def __init__(self, image_size: int, image_channels: int):
        super().__init__()
        self.latent_shape = (image_channels, image_size, image_size)

    def encode(self, images: Tensor) -> Tensor:
        return images

    def decode(self, latents: Tensor) -> Tensor:
        return latents
