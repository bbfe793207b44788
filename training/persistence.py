"""A trainer's state to a file and back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from training.checkpoints import (
    checkpoint_name,
    find_checkpoint,
    load_checkpoint,
    load_into,
    prune_checkpoints,
    save_checkpoint,
)
from training.data import Facts
from training.run_folder import plain
from utils import distributed
from utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer

State = dict[str, Any]
WEIGHTS_ONLY = "set train.init_from instead of train.checkpoint_path to take its weights only"


def state_of(trainer: BaseTrainer) -> State:
    """Return the whole state: tensors and plain values. Random numbers are functions of the step: none is kept."""
    return {
        "step": trainer.step,
        "model_type": trainer.config.exp.model_type,
        "images_seen": trainer.step * trainer.share.batch_size,
        "facts": asdict(trainer.facts),
        "config": plain(trainer.config),
        "networks": {name: network.state_dict() for name, network in trainer.networks.items()},
        "ema": trainer.ema.module.state_dict(),
        "updaters": {name: updater.state_dict() for name, updater in trainer.updaters.items()},
        "window": trainer.window.state_dict(),
    }


def save(trainer: BaseTrainer) -> Path:
    """Write a checkpoint of the run and drop its oldest ones. Every process calls it, the first one writes."""
    state = state_of(trainer)
    path = trainer.run.checkpoints / checkpoint_name(trainer.step)
    if distributed.is_main():
        save_checkpoint(state, path)
        prune_checkpoints(trainer.run.checkpoints, trainer.config.train.keep_checkpoints)
    distributed.barrier()
    return path


def check_start(trainer: BaseTrainer) -> None:
    """Look at the run folder, and for the files that a new run starts from; one that continues needs them no more."""
    trainer.run.check()
    for key in ("checkpoint_path", "init_from"):
        path = getattr(trainer.config.train, key)
        if path is not None and trainer.run.latest() is None:
            find_checkpoint(path, f"train.{key}")


def initialise(trainer: BaseTrainer) -> None:
    """Take the weights of ``train.init_from``, if it is set, and nothing else of that run."""
    path = trainer.config.train.init_from
    if path is not None and trainer.run.latest() is None:
        load_networks(trainer, load_checkpoint(path, "train.init_from"), path)


def resume(trainer: BaseTrainer) -> None:
    """Continue from the run's newest checkpoint, or start from ``train.checkpoint_path``, or at step 0."""
    train, newest = trainer.config.train, trainer.run.latest()
    path = newest or train.checkpoint_path
    if path is None:
        trainer.say(f"{trainer.run.path}: no checkpoint yet, starting at step 0")
    else:
        state = load_checkpoint(path)
        if newest is None and train.start_step not in (0, state["step"]):
            raise ConfigError(f"train.start_step={train.start_step}, but {path} is of step {state['step']}")
        restore(trainer, state, path)
        trainer.say(f"{trainer.run.path}: continuing at step {trainer.step}, from {path}")
    if distributed.is_main():
        trainer.run.truncate_logs(trainer.step)


def restore(trainer: BaseTrainer, state: State, path: str | Path) -> None:
    """Undo :func:`state_of`. Raises :class:`DataError` when the file is of another model or of other data."""
    load_networks(trainer, state, path)
    load_into(trainer.ema.module, state["ema"], trainer.sampled, path)
    for name, updater in trainer.updaters.items():
        role = trainer.optimizer_roles[name]
        theirs, ours = state["config"]["train"][role], trainer.roles.name(role)
        if theirs != ours:
            raise ConfigError(f"{path} was trained with train.{role}={theirs}, not {ours}: {WEIGHTS_ONLY}")
        try:
            updater.load_state_dict(state["updaters"][name])
        except ValueError as error:
            raise DataError(f"{path} trained other parameters of the {name} (train.freeze): {WEIGHTS_ONLY}") from error
    trainer.window.load_state_dict(state["window"], trainer.device)
    trainer.step = state["step"]


def load_networks(trainer: BaseTrainer, state: State, path: str | Path) -> None:
    check_family(trainer, state, path)
    if Facts(**state["facts"]) != trainer.facts:
        raise DataError(f"{path} was trained on other data: {difference(Facts(**state['facts']), trainer.facts)}")
    for name, network in trainer.networks.items():
        load_into(network, state["networks"][name], name, path)


def difference(theirs: Facts, ours: Facts) -> str:
    """Name the first fact in which two data sets differ."""
    for key, value in asdict(theirs).items():
        if value != asdict(ours)[key]:
            shown = (len(value), len(asdict(ours)[key])) if key == "class_names" else (value, asdict(ours)[key])
            return f"its {key} are {shown[0]}, here {shown[1]}"
    return "no difference"


def check_family(trainer: BaseTrainer, state: State, path: str | Path) -> None:
    if state["model_type"] != trainer.config.exp.model_type:
        raise ConfigError(
            f"{path} is a {state['model_type']} checkpoint, exp.model_type is {trainer.config.exp.model_type}"
        )


def open_for_inference(trainer: BaseTrainer) -> State:
    """Open ``train.checkpoint_path``; the word ``latest`` is the newest checkpoint of the run folder."""
    path = trainer.config.train.checkpoint_path
    if path == "latest":
        path = trainer.run.latest()
        if path is None:
            raise ConfigError(f"train.checkpoint_path=latest: there is no checkpoint in {trainer.run.checkpoints}")
    if path is None:
        raise ConfigError("train.checkpoint_path=FILE is missing: name the checkpoint to study, or latest")
    state = load_checkpoint(path)
    check_family(trainer, state, path)
    return {**state, "path": str(path)}


def load_average(trainer: BaseTrainer) -> nn.Module:
    """Put the checkpoint's averaged weights into the network that images come from."""
    network = trainer.networks[trainer.sampled]
    load_into(network, trainer.checkpoint["ema"], trainer.sampled, trainer.checkpoint["path"])
    return network.eval().requires_grad_(False)
