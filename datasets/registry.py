"""The datasets a config can name."""

from utils.class_registry import ClassRegistry

datasets_registry = ClassRegistry("dataset")
