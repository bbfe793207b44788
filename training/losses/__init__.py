"""Losses by name. Importing this fills the registries."""

from training.losses import diffusion, gan, penalties, supervised  # noqa: F401
