"""Networks by name. Importing this package fills the registries of :mod:`models.registry`."""

from models.classifiers import resnet
from models.diffusion import base_diffusion, denoisers, unet
from models.gan import base, dcgan

__all__ = ["base", "base_diffusion", "dcgan", "denoisers", "resnet", "unet"]
