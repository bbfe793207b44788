"""What can be found out about a generated set beyond its metrics."""

from utils.class_registry import ClassRegistry

analyses_registry = ClassRegistry("analysis")
