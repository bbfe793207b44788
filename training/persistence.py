"""A trainer's state to a file and back."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from training.checkpoints import find_checkpoint, load_checkpoint, load_into, open_newest
from training.data import Facts
from training.ema import averaged_copy
from training.export import load_export, model_files
from training.fitting import check_facts, check_family, check_networks
from training.posthoc_ema import reconstruct
from training.run_folder import plain
from utils import distributed
from utils.cache import fingerprint
from utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer

State = dict[str, Any]
NEW_RUN = "begin a new run (exp.run_name=NAME), with train.init_from=FILE to keep the weights"
WEIGHTS_ONLY = "set train.init_from instead of train.checkpoint_path to take its weights only"


def state_of(trainer: BaseTrainer) -> State:
    """Return the whole state: tensors and plain values. Random numbers are functions of the step: none is kept."""
    return {
        "step": trainer.step,
        "model_type": trainer.config.exp.model_type,
        "images_seen": trainer.images_seen,
        "initial_weights": trainer.initial_weights,
        "facts": asdict(trainer.facts),
        "training_files": files_key(trainer),
        "config": plain(trainer.config),
        "fixed": trainer.fixed_parts(),
        "networks": {name: network.state_dict() for name, network in trainer.networks.items()},
        "ema": trainer.ema.module.state_dict(),
        "ema_others": {name: average.state_dict() for name, average in trainer.ema.others().items()},
        "updaters": {name: updater.state_dict() for name, updater in trainer.updaters.items()},
        "window": trainer.window.state_dict(),
        "memories": {name: memory.state_dict() for name, memory in trainer.memories().items()},
    }


def files_key(trainer: BaseTrainer) -> str:
    """Return a fingerprint of which images are trained on, in which order: resuming needs the same."""
    return fingerprint(*trainer.data.train.files)


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
    trainer.initial_weights = {"kind": "random"}
    if path is not None and trainer.run.latest() is None:
        state = load_checkpoint(path, "train.init_from")
        check_family(trainer, state, path)
        if Facts(**state["facts"]).num_classes != trainer.facts.num_classes:
            check_facts(trainer, state, path, "train.init_from takes over weights for as many classes only")
        load_networks(trainer, state, path)
        trainer.initial_weights = {"kind": "train.init_from", **describe_file(path)}


def fixed_parts(trainer: BaseTrainer) -> State | None:
    """Return what the checkpoint that is studied or continued holds of parts that are not trained; None: a new run."""
    if trainer.checkpoint is not None:
        return trainer.checkpoint.get("fixed", {})
    newest = newest_whole(trainer)
    if newest is not None:
        return newest[1].get("fixed", {})
    path = trainer.config.train.checkpoint_path
    return None if path is None else load_checkpoint(path, lazily=True).get("fixed", {})


def newest_whole(trainer: BaseTrainer) -> tuple[Path, State] | None:
    """Open the run's newest checkpoint that is whole; the first process sets damaged ones aside before others look."""
    with distributed.main_first():
        return open_newest(trainer.run.checkpoints, trainer.say)


def resume(trainer: BaseTrainer) -> None:
    """Continue from the run's newest whole checkpoint, or start from ``train.checkpoint_path``, or at step 0."""
    train = trainer.config.train
    newest = newest_whole(trainer)
    if newest is not None:
        continue_from(trainer, *newest)
    elif train.checkpoint_path is not None:
        start_from(trainer, train.checkpoint_path)
    else:
        trainer.say(f"{trainer.run.path}: no checkpoint yet, starting at step 0")
    if not distributed.same_everywhere(trainer.step, trainer.device):
        raise ConfigError(f"processes found different checkpoints: {trainer.run.path} must lie on a disk they all see")


def continue_from(trainer: BaseTrainer, path: Path, state: State) -> None:
    """Go on with the run where its own checkpoint ended."""
    restore(trainer, state, path)
    if state["training_files"] != files_key(trainer):
        raise DataError(f"the training images are not those that {path} has seen: restore them, or {NEW_RUN}")
    restore_memories(trainer, state)  # not in start_from: what another run has learnt may be of other losses
    trainer.saved_step = trainer.step
    trainer.say(f"{trainer.run.path}: continuing at step {trainer.step}, from {path}")
    before, steps = state["config"]["train"]["steps"], trainer.config.train.steps
    if steps < trainer.step:
        trainer.say(f"train.steps={steps} has been passed: nothing is trained, raise it to go on")
    elif before != steps:
        trainer.say(f"train.steps was {before}, is {steps}: schedules go by the new length from here on")


def start_from(trainer: BaseTrainer, path: str) -> None:
    """Begin a run with the whole state of another's checkpoint."""
    state = load_checkpoint(path)
    if trainer.config.train.start_step not in (0, state["step"]):
        given = trainer.config.train.start_step
        raise ConfigError(f"train.start_step={given}, but {path} is of step {state['step']}: leave it out")
    restore(trainer, state, path)
    trainer.initial_weights = {"kind": "train.checkpoint_path", **describe_file(path)}
    trainer.say(f"{trainer.run.path}: continuing at step {trainer.step}, from {path}")


def restore(trainer: BaseTrainer, state: State, path: str | Path) -> None:
    """Undo :func:`state_of`. Raises :class:`DataError` when the file is of another model or of other classes."""
    check_networks(trainer, state, path)
    check_facts(trainer, state, path, NEW_RUN)
    load_networks(trainer, state, path)
    load_into(trainer.ema.module, state["ema"], trainer.averaged, path)
    for name, average in trainer.ema.others().items():
        load_into(average, state["ema_others"][name], trainer.averaged, path)
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
    trainer.step, trainer.images_seen = state["step"], state["images_seen"]
    trainer.initial_weights = state["initial_weights"]


def restore_memories(trainer: BaseTrainer, state: State) -> None:
    """Go on with what the trainer's :meth:`memories` held; checkpoints of earlier versions had none."""
    for name, memory in trainer.memories().items():
        memory.load_state_dict(state.get("memories", {}).get(name, {}))


def load_networks(trainer: BaseTrainer, state: State, path: str | Path) -> None:
    """Load every network's weights. Raises :class:`DataError` when shapes differ."""
    for name, network in trainer.networks.items():
        load_into(network, state["networks"][name], name, path)


def describe_file(path: str | Path) -> dict[str, str]:
    """Name a file, or an exported model by the contents of its files, so that it can be told from others."""
    digest = hashlib.sha256()
    for part in model_files(Path(path)) if Path(path).is_dir() else [Path(path)]:
        digest.update(part.read_bytes())
    return {"file": Path(path).name, "sha256": digest.hexdigest()}


def describe_average(trainer: BaseTrainer) -> dict[str, Any]:
    """Say which average of the weights images come from."""
    config = trainer.checkpoint["config"]
    own = {"ema": config["train"]["ema"], **config["ema_args"], "width": trainer.config.inference.ema_width}
    return trainer.checkpoint.get("average", own)


def open_for_inference(trainer: BaseTrainer) -> State:
    """Open ``train.checkpoint_path``, a file or an exported model's folder.

    The words ``latest`` and ``best`` are checkpoints of the run folder.
    """
    path = trainer.config.train.checkpoint_path
    chosen = {"latest": trainer.run.latest(), "best": trainer.best.path()}
    if path in chosen:
        path = chosen[path]
        if path is None:
            word, folder = trainer.config.train.checkpoint_path, trainer.run.checkpoints
            fix = "train first, or name the run by exp.run_name (and exp.exp_dir)"
            raise ConfigError(f"train.checkpoint_path={word}: there is no such checkpoint in {folder}; {fix}")
    if path is None:
        raise ConfigError("train.checkpoint_path=FILE is missing: name the checkpoint to study, or latest")
    exported = (Path(path) / "model.json").is_file()
    state = load_export(Path(path)) if exported else load_checkpoint(path)
    check_networks(trainer, state, path)
    return {**state, "path": str(path)}


def load_guide(trainer: BaseTrainer, path: str) -> nn.Module:
    """Return a copy of the averaged network with the averaged weights of another checkpoint of the same model."""
    state = load_checkpoint(path, "train.guide_path")
    check_networks(trainer, state, path)
    check_facts(trainer, state, path, "train.guide_path must name a checkpoint of the same model")
    for name, part in trainer.fixed_parts().items():
        if state.get("fixed", {}).get(name, {}).get("origin") != part.get("origin"):
            raise ConfigError(f"train.guide_path={path} has another {name} than this model: it cannot guide it")
    guide = averaged_copy(trainer.average)
    load_into(guide, state["ema"], trainer.averaged, path)
    return guide


def load_average(trainer: BaseTrainer) -> nn.Module:
    """Put the checkpoint's averaged weights into the network that is averaged."""
    network, state, width = trainer.networks[trainer.averaged], trainer.checkpoint, trainer.config.inference.ema_width
    weights = state["ema"]
    if width is not None:
        weights = reconstruct(Path(state["path"]).parent.parent / "ema", state["images_seen"], width)
    load_into(network, weights, trainer.averaged, state["path"])
    return network.eval().requires_grad_(False)
