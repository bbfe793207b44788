"""Losses by name. Importing this fills the registries."""

from training.losses import autoencoder, diffusion, gan, path_length, penalties, supervised  # noqa: F401
