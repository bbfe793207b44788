"""Datasets and augmentations by name: importing this package fills their registries."""

from datasets import augmentations, image_folder, packed, synthetic
from datasets.registry import datasets_registry

__all__ = ["augmentations", "datasets_registry", "image_folder", "packed", "synthetic"]
