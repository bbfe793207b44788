"""Networks by name. Importing this package fills the registries of :mod:`models.registry`."""

from models.classifiers import export, noisy, resnet
from models.diffusion import base_diffusion, denoisers, unet
from models.gan import base, dcgan

__all__ = ["base", "base_diffusion", "dcgan", "denoisers", "export", "noisy", "resnet", "unet"]
