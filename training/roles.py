"""Roles: ``train.<role>`` (or ``data.dataset``) names a class, the top-level ``<role>_args`` holds its arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasets.registry import datasets_registry
from training.config import CommonConfig
from training.registry import ema_registry, optimizers_registry, schedules_registry
from utils.class_registry import ClassRegistry
from utils.config import without_nulls
from utils.errors import ConfigError
from utils.schema import check_arguments, construct


@dataclass(frozen=True)
class Role:
    """Where a role's names are looked up, and which parameters the framework fills in for whoever takes them."""

    registry: ClassRegistry
    offered: tuple[str, ...] = ()
    section: str = "train"


COMMON_ROLES = {
    "dataset": Role(datasets_registry, ("root", "split", "image_size", "on_bad_image"), section="data"),
    "schedule": Role(schedules_registry),
    "ema": Role(ema_registry, ("network",)),
}
OPTIMIZER = Role(optimizers_registry, ("params",))


class Roles:
    """The roles of one family, read from one config: checked before any data is opened, built when their time comes."""

    def __init__(self, config: CommonConfig, table: Mapping[str, Role]):
        self.config, self.table = config, table

    def name(self, role: str) -> str | None:
        return getattr(getattr(self.config, self.table[role].section), role)

    def arguments(self, role: str) -> dict[str, Any]:
        return without_nulls(getattr(self.config, f"{role}_args"))

    def cls(self, role: str) -> type:
        """Return the class that the config names. Raises :class:`ConfigError` for an unknown name."""
        return self.table[role].registry.find(self.name(role), f"{self.table[role].section}.{role}")

    def check(self) -> None:
        """Hold every name against its registry and every argument against its constructor's signature."""
        for role, entry in self.table.items():
            arguments = getattr(self.config, f"{role}_args")
            if self.name(role) is None:
                if arguments:
                    raise ConfigError(f"{role}_args is set but {entry.section}.{role} names no class: name one")
                continue
            check_arguments(self.cls(role), arguments, f"{role}_args", entry.offered)

    def require(self, role: str, needed: type, where: str) -> None:
        """Raise :class:`ConfigError` unless the role's class is of the kind that the setting ``where`` needs."""
        if not issubclass(self.cls(role), needed):
            entry = self.table[role]
            fitting = " or ".join(name for name, cls in entry.registry.classes.items() if issubclass(cls, needed))
            raise ConfigError(f"{where} needs {entry.section}.{role}={fitting}, not {self.name(role)}")

    def build(self, role: str, **offered: Any) -> Any:
        """Construct the role's object from its arguments and those of ``offered`` that its constructor takes."""
        return construct(self.cls(role), self.arguments(role), f"{role}_args", offered)
