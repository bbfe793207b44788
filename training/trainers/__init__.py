"""Trainers by name. Importing this fills the registries of all families."""

from training.trainers import autoencoder, diffusion, gan, supervised  # noqa: F401
