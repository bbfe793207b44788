"""Where a number comes from: weights, reference, settings and machine, as ``metrics.json`` holds them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evaluation.tables import LOSSLESS
from metrics.features import ImageSet
from training.persistence import describe_average, describe_file
from training.run_folder import plain, whole
from utils.environment import environment

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer


def weights_origin(trainer: BaseTrainer) -> dict[str, Any]:
    """Say where the weights of a checkpoint come from."""
    checkpoint = trainer.checkpoint
    return {
        "checkpoint": describe_file(checkpoint["path"]),
        "step": checkpoint["step"],
        "training_images_seen": checkpoint["images_seen"],
        "training_seed": checkpoint["config"]["exp"]["seed"],
        "weights": describe_average(trainer),
        "parameters": sum(weight.numel() for weight in trainer.average.parameters()),
        "initial_weights": checkpoint.get("initial_weights"),  # random, or another file of this project
        "foreign_weights": foreign_weights(checkpoint),
    }


def foreign_weights(checkpoint: dict[str, Any]) -> dict[str, Any] | bool:
    """Say which weights of others take part, and whether the task allows them; False: none but this project's own."""
    origins = {name: part.get("origin", {}) for name, part in checkpoint.get("fixed", {}).items()}
    return {name: origin for name, origin in origins.items() if origin.get("foreign_weights")} or False


def made_origin(trainer: BaseTrainer) -> dict[str, Any]:
    """Say what a study makes its images or figures with: enough to do it again."""
    return {
        **weights_origin(trainer),
        "seed": trainer.config.exp.seed,
        "precision": str(trainer.precision),
        "file_format": LOSSLESS,  # nothing goes through a file before it is judged
        "environment": environment(),
        "config": plain(trainer.config),
    }


def judged_origin(trainer: BaseTrainer, real: ImageSet) -> dict[str, Any]:
    """Say what figures rest on that hold a checkpoint against ``real``, and note in the run that it was judged."""
    split = trainer.config.inference.split
    return {
        **made_origin(trainer),
        "split": split,
        "earlier_evaluations": note_evaluation(trainer, split),
        "real_images": real.count,
        "real_content": real.content_key,
    }


def note_evaluation(trainer: BaseTrainer, split: str) -> int:
    """Note in the run's ``evaluations.jsonl`` that a model of it was judged on ``split``; return how often before.

    The test split is for the result alone. Counted is the run that the config names, wherever results are written. An
    exported folder belongs to no run: looks at it count only where ``exp.run_name`` names a run's folder.
    """
    path, earlier = trainer.run.path / "evaluations.jsonl", 0
    if path.exists():
        lines = path.read_text().splitlines(keepends=True)
        earlier = sum(json.loads(line)["split"] == split for line in lines if whole(line))
    if trainer.run.path.is_dir():
        with open(path, "a", encoding="utf-8") as file:
            line = {"split": split, "step": trainer.checkpoint["step"], "study": trainer.config.inference.study}
            file.write(json.dumps(line) + "\n")
    return earlier
