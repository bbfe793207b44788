"""A weighted sum of named losses, as a config describes it: ``{name: coefficient}``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from utils.class_registry import ClassRegistry
from utils.config import without_nulls
from utils.errors import ConfigError
from utils.schema import check_arguments


def check_losses(registry: ClassRegistry, coefficients: Mapping[str, float], arguments: Mapping, section: str) -> None:
    """Hold the names against the registry and each loss's arguments against its signature."""
    if not coefficients:
        raise ConfigError(f"{section} is empty: name a loss, such as {section}.{next(iter(registry))}: 1.0")
    for name in coefficients:
        check_arguments(registry.find(name, section), arguments.get(name, {}), f"losses_args.{name}")


def check_no_stray_arguments(arguments: Mapping, *used: Mapping[str, float]) -> None:
    """Refuse arguments of a loss that no player uses."""
    for name in arguments:
        if not any(name in coefficients for coefficients in used):
            raise ConfigError(f"losses_args.{name} is set, but no loss of that name is used: remove it")


class Stateful(ABC):
    """What remembers something that a resumed run needs. Every process asks for the state, at the same step."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values, for a checkpoint."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""


class Scaled(ABC):
    """A loss that counts for more or less from one update to the next, beside its coefficient."""

    @abstractmethod
    def factor(self, outcome: Any) -> float:
        """Return how often the term counts in this update."""


class WeightedLosses(Stateful):
    """Sums ``coefficient * loss(outcome)`` and reports every term unweighted: as the loss returns it.

    A loss may skip a step (lazy regularisation, every ``interval`` updates): it then returns None and is not reported.
    Raises :class:`ConfigError` when all do.
    """

    def __init__(self, registry: ClassRegistry, coefficients: Mapping[str, float], arguments: Mapping[str, Any]):
        self.coefficients = dict(coefficients)
        self.losses = {name: registry[name](**without_nulls(arguments.get(name, {}))) for name in coefficients}
        if all(getattr(loss, "interval", 1) > 1 for loss in self.losses.values()):
            raise ConfigError(f"{', '.join(self.losses)}: each skips steps; one loss must be computed at every step")

    def __call__(self, outcome: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total, and the terms by name, detached; nothing waits for the device."""
        terms = {name: loss(outcome) for name, loss in self.losses.items()}
        terms = {name: term for name, term in terms.items() if term is not None}
        total = sum(self.weight(name, outcome) * term for name, term in terms.items())
        return total, {name: term.detach() for name, term in terms.items()}

    def weight(self, name: str, outcome: Any) -> float:
        """Return what a loss's term is multiplied by in the total of this update."""
        loss = self.losses[name]
        return self.coefficients[name] * (loss.factor(outcome) if isinstance(loss, Scaled) else 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {name: loss.state_dict() for name, loss in self.losses.items() if isinstance(loss, Stateful)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave; a loss that it does not know begins anew."""
        for name, loss in self.losses.items():
            if isinstance(loss, Stateful) and name in state:
                loss.load_state_dict(state[name])
