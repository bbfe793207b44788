"""Names in a YAML file to classes in the code."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from utils.errors import ConfigError, did_you_mean

T = TypeVar("T")


class ClassRegistry:
    """A table of classes by name. Adding a class is one decorator; nothing else needs to know of it.

    >>> gens_registry = ClassRegistry("generator")
    >>> @gens_registry.add_to_registry(name="tiny")
    ... class Tiny: ...
    >>> gens_registry["tiny"] is Tiny
    True

    A class of somebody else registers by a call: ``gens_registry.add_to_registry(name="theirs")(TheirClass)``.
    """

    def __init__(self, kind: str = "class"):
        self.kind = kind  # what a member is, for messages: "generator", "loss", ...
        self.classes: dict[str, type] = {}

    def add_to_registry(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files a class under ``name`` and gives it back unchanged.

        Raises ``ValueError`` when the name is taken by another class: a second registration must not win silently.
        """

        def add(cls: T) -> T:
            if name in self.classes:
                taken = f"{self.classes[name].__module__}.{self.classes[name].__qualname__}"
                raise ValueError(f"{self.kind} '{name}' is already {taken}: take another name")
            self.classes[name] = cls
            return cls

        return add

    def __getitem__(self, name: str) -> type:
        if name not in self.classes:
            raise ConfigError(f"'{name}' is no {self.kind}.{did_you_mean(str(name), list(self.classes))}")
        return self.classes[name]

    def find(self, name: str, key: str) -> type:
        """Return the class whose name stands at ``key`` of a config; the error says where it stands."""
        try:
            return self[name]
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from None

    def __contains__(self, name: str) -> bool:
        return name in self.classes

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.classes))

    def __len__(self) -> int:
        return len(self.classes)
