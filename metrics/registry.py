"""The metrics a config can name, and the networks whose features they judge."""

from utils.class_registry import ClassRegistry

metrics_registry = ClassRegistry("metric")
features_registry = ClassRegistry("feature network")
