"""The metrics a config can name."""

from utils.class_registry import ClassRegistry

metrics_registry = ClassRegistry("metric")
