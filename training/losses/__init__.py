"""Losses by name. Importing this fills the registries."""

from training.losses import diffusion, gan, penalties  # noqa: F401
