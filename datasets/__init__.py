"""Datasets by name: importing this package fills ``datasets_registry``."""

from datasets import image_folder, packed, synthetic
from datasets.registry import datasets_registry

__all__ = ["datasets_registry", "image_folder", "packed", "synthetic"]
