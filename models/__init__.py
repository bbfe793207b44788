"""Networks by name. Importing this package fills the registries of :mod:`models.registry`."""

from models.autoencoders import kl
from models.classifiers import export, noisy, resnet
from models.codecs import diffusers_kl, identity, trained
from models.diffusion import base_diffusion, denoisers, dit, songunet, to_diffusers, unet
from models.gan import base, dcgan, r3gan, sagan, sngan, stylegan, stylegan2

__all__ = [
    "base",
    "base_diffusion",
    "dcgan",
    "denoisers",
    "diffusers_kl",
    "dit",
    "export",
    "identity",
    "kl",
    "noisy",
    "r3gan",
    "resnet",
    "sagan",
    "sngan",
    "songunet",
    "stylegan",
    "stylegan2",
    "to_diffusers",
    "trained",
    "unet",
]
