"""A pretrained ``AutoencoderKL`` of diffusers, such as Stable Diffusion's, as a codec.

diffusers is not among the requirements: it is imported when it is asked for.
"""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.codecs.base import LatentCodec
from models.registry import codecs_registry
from utils.errors import ConfigError, DataError
from utils.files import sha256_of

ALLOWED = "yes: it writes images down and reads them back; it is no generative model of the data"


@codecs_registry.add_to_registry(name="diffusers_autoencoder_kl")
class DiffusersAutoencoderKL(LatentCodec):
    """``path``: a local folder with ``config.json`` and safetensors, as ``AutoencoderKL.save_pretrained`` writes it.
    ``kept``: what a checkpoint holds of the codec, if there is one: the folder is not opened then.

    Its own ``scaling_factor`` is that of other images: it is measured anew. Raises :class:`ConfigError` when diffusers
    or the folder is not there, or the images do not fit, :class:`DataError` when the folder cannot be read.
    """

    def __init__(self, image_size: int, image_channels: int, path: str, kept: dict[str, Any] | None = None):
        cls = autoencoder_class()
        if kept:
            network = cls.from_config(kept["described"])
            network.load_state_dict(kept["weights"])
            super().__init__(network, kept["described"], kept["origin"], kept["std"])
        else:
            network = open_folder(cls, path)
            described = {key: value for key, value in network.config.items() if not key.startswith("_")}
            super().__init__(network, described, foreign_origin(path))
        factor = 2 ** (len(network.config.block_out_channels) - 1)
        if image_size % factor or network.config.in_channels != image_channels:
            raise ConfigError(
                f"this autoencoder takes images of {network.config.in_channels} channels and a multiple of {factor} "
                f"pixels, the data has {image_channels} channels and {image_size} pixels: set data.image_size"
            )
        self.latent_shape = (network.config.latent_channels, image_size // factor, image_size // factor)

    def mean(self, images: Tensor) -> Tensor:
        return self.network.encode(images).latent_dist.mode()

    def images_of(self, z: Tensor) -> Tensor:
        return self.network.decode(z).sample


def autoencoder_class() -> type[nn.Module]:
    """Return ``diffusers.AutoencoderKL``. Raises :class:`ConfigError` where diffusers is not installed."""
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise ConfigError(f"diffusers_autoencoder_kl needs diffusers ({error}): pip install diffusers") from error
    return AutoencoderKL


def open_folder(cls: type[nn.Module], path: str) -> nn.Module:
    """Read a model from files on this machine, without running anything in them."""
    if not (Path(path) / "config.json").is_file():
        fix = "name one that AutoencoderKL.save_pretrained wrote"
        raise ConfigError(f"path={path} is no folder of an AutoencoderKL, it has no config.json: {fix}")
    try:
        return cls.from_pretrained(path, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False)
    except Exception as error:  # of a dozen kinds
        first = str(error).strip().splitlines()[0]
        raise DataError(f"{path} cannot be opened as an AutoencoderKL ({first}): fetch the folder again") from error


def foreign_origin(path: str) -> dict[str, Any]:
    return {
        "sha256": sha256_of(path),
        "file": Path(path).resolve().name,
        "foreign_weights": "pretrained, opened by diffusers.AutoencoderKL",
        "allowed_by_the_task": ALLOWED,
    }
