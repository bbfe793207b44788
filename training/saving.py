"""When and how a run's checkpoints are written, also where the disk is full."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from training.checkpoints import checkpoint_name, prune_checkpoints, save_checkpoint
from training.persistence import State, state_of
from training.posthoc_ema import save_snapshot
from training.window import check_weights
from utils import distributed
from utils.errors import DataError

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer

LAST_TRIES = (0, 2, 5, 10)  # seconds to wait before each try to write the last checkpoint


def save(trainer: BaseTrainer, best: dict[str, float] | None = None) -> Path | None:
    """Write a checkpoint of the run and drop its oldest ones. Every process calls it, the first one writes.

    ``best``: the figures that make it the best so far. Returns None where the disk refuses: the run can go on.
    """
    check_weights({**trainer.networks, "average": trainer.ema.module})
    state, refused = state_of(trainer), False
    path = trainer.run.checkpoints / checkpoint_name(trainer.step)
    if distributed.is_main():
        try:
            write(trainer, state, path, best)
        except (OSError, SafetensorError) as error:
            refused, reason = True, getattr(error, "strerror", None) or error
            trainer.say(f"step {trainer.step}: no checkpoint could be written ({reason}): make room, it is tried again")
    if distributed.any_process(refused, trainer.device):
        return None
    trainer.saved_step = trainer.step
    return path


def write(trainer: BaseTrainer, state: State, path: Path, best: dict[str, float] | None) -> None:
    """Write what belongs to a checkpoint, itself last: with it, all that it promises is on the disk."""
    trainer.loggers.flush()
    for width, average in trainer.ema.snapshots().items():
        save_snapshot(average, trainer.run.snapshots, trainer.step, trainer.images_seen, width)
    if best is not None:
        trainer.best.remember(best, trainer.step)
    save_checkpoint(state, path)
    prune_checkpoints(trainer.run.checkpoints, trainer.config.train.keep_checkpoints, trainer.best.path())


def save_at_last(trainer: BaseTrainer) -> None:
    """Write the last checkpoint. Raises :class:`DataError` when the disk refuses again and again."""
    for seconds in LAST_TRIES:
        if trainer.saved_step != trainer.step:
            time.sleep(seconds)
            trainer.save_checkpoint()
    if trainer.saved_step != trainer.step:
        raise DataError(
            f"step {trainer.step} could not be saved in {trainer.run.checkpoints}: make room; the same command goes on "
            f"from step {trainer.saved_step}"
        )
