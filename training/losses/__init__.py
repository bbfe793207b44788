"""Losses by name. Importing this fills the registries."""

from training.losses import diffusion, gan, supervised  # noqa: F401
