"""Whether a checkpoint is of the model that a config describes; if not, one line says what differs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import CommonConfig
from training.data import Facts
from utils.config import without_nulls
from utils.errors import ConfigError, DataError
from utils.schema import bind

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer

State = dict[str, Any]


def check_family(trainer: BaseTrainer, state: State, path: str | Path) -> None:
    if state["model_type"] != trainer.config.exp.model_type:
        family = trainer.config.exp.model_type
        raise ConfigError(
            f"{path} is a {state['model_type']} checkpoint, exp.model_type is {family}: use the config of its run"
        )


def check_facts(trainer: BaseTrainer, state: State, path: str | Path, fix: str) -> None:
    """Raise :class:`DataError` unless a checkpoint is of the classes and image sizes of the data."""
    difference = Facts(**state["facts"]).difference(trainer.facts)
    if difference:
        raise DataError(f"{path} is of a model with {difference}: {fix}")


def check_networks(trainer: BaseTrainer, state: State, path: str | Path) -> None:
    """Networks of the same shapes may still mean different things: the classes and arguments must be the same.

    Raises :class:`ConfigError` naming the first that differs.
    """
    check_family(trainer, state, path)
    theirs = config_of(trainer, state, path)
    for role in trainer.network_roles:
        for key, then, now in (
            (f"train.{role}", getattr(theirs.train, role), getattr(trainer.config.train, role)),
            (f"{role}_args", getattr(theirs, f"{role}_args"), getattr(trainer.config, f"{role}_args")),
        ):
            if without_nulls({"": then}) != without_nulls({"": now}):
                raise ConfigError(f"{path} was trained with {key}={then}, not {now}: use the config of its run")


def config_of(trainer: BaseTrainer, state: State, path: str | Path) -> CommonConfig:
    """Return the config that a checkpoint was trained with. Raises :class:`DataError` where a key is not known now."""
    try:
        return bind(trainer.schema, state["config"])
    except ConfigError as error:
        fix = "open it with the version that trained it"
        raise DataError(f"{path} was trained by another version, or a trainer of its own ({error}): {fix}") from error
