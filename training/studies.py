"""What ``inference.py`` does with a checkpoint: ``inference.study`` names one of these."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from metrics.features import ImageSet
from training.data import open_split
from training.evaluation import build_judge, labels_like
from training.persistence import describe_file
from training.registry import studies_registry
from training.run_folder import environment, plain, write_whole
from utils.errors import ConfigError, DataError, MetricError, UserError, did_you_mean
from utils.images import class_grid, image_grid, write_png

if TYPE_CHECKING:
    from datasets.base import ImageDataset
    from training.trainers.base import BaseTrainer

PER_CLASS = 20  # images of each class where there is no test set to follow


@dataclass(frozen=True)
class Plan:
    """Which images to make."""

    labels: Tensor | None  # int64 [count]
    count: int
    follows_test: bool  # as many as the test set, with its class distribution: what metrics need


@studies_registry.add_to_registry(name="sample")
class SampleStudy:
    """Writes PNGs into class folders, one labelled grid, and ``metrics.json`` with every number's origin."""

    def run(self, trainer: BaseTrainer) -> None:
        """Make the images, then judge them. Raises :class:`MetricError` when they cannot be judged; they stay."""
        test, missing = open_test_set(trainer)
        plan, folder = make_plan(trainer, test), new_folder(trainer)
        images = trainer.synthesize_images(plan.labels, plan.count, trainer.config.exp.seed)
        names = trainer.facts.class_names
        write_images(folder / "images", images, plan.labels, names)
        grid = image_grid(images[:100]) if plan.labels is None else class_grid(images, plan.labels, names)
        write_png(grid, folder / "grid.png")
        trainer.say(f"{plan.count} images and grid.png are in {folder}")
        record = {"results": {}, "origin": origin(trainer, plan)}
        write_record(folder, record)
        if not trainer.config.train.val_metrics:
            return
        if test is None:
            raise MetricError(f"the images are written, but there is nothing to judge them by: {missing}")
        if not plan.follows_test:
            return trainer.say(f"not judged: metrics need {len(test)} images with the classes of the test set")
        record["results"], judged = judge_images(trainer, images, test)
        record["origin"] |= judged
        write_record(folder, record)
        for name, value in record["results"].items():
            trainer.say(f"{name}: {value:.5g}")


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write ``metrics.json``: once when the images are there, again with the numbers."""
    write_whole(folder / "metrics.json", json.dumps(record, indent=2) + "\n")


def open_test_set(trainer: BaseTrainer) -> tuple[ImageDataset | None, str]:
    """Open the test split; without it images can still be made, so its absence is a reason, not an error."""
    try:
        test = open_split(trainer.roles, "val")
    except UserError as error:
        return None, str(error)
    facts = trainer.facts
    if test.image_shape != (facts.image_channels, facts.image_size, facts.image_size):
        raise ConfigError(f"the checkpoint is for images of {facts.image_size} pixels: set data.image_size to it")
    if facts.conditional and tuple(test.class_names) != facts.class_names:
        raise ConfigError(f"the test folder's {len(test.class_names)} classes are not those of the checkpoint")
    return test, ""


def make_plan(trainer: BaseTrainer, test: ImageDataset | None) -> Plan:
    """Choose labels: those of ``inference.classes``, or as the test set has them, or as many of each class."""
    settings, facts = trainer.config.inference, trainer.facts
    if settings.classes:
        return Plan(*spread(class_numbers(settings.classes, facts), settings.num_images or 0), follows_test=False)
    if settings.num_images is None and test is not None:
        labels = labels_like(test) if facts.conditional else None
        return Plan(labels, len(test), follows_test=True)
    if not facts.conditional:
        return Plan(None, settings.num_images or 100, follows_test=False)
    return Plan(*spread(list(range(facts.num_classes)), settings.num_images or 0), follows_test=False)


def class_numbers(names: list[str], facts: Any) -> list[int]:
    if not facts.conditional:
        raise ConfigError("inference.classes: this model is unconditional, it cannot be asked for a class")
    for name in names:
        if name not in facts.class_names:
            raise ConfigError(f"inference.classes: no class '{name}'.{did_you_mean(name, list(facts.class_names))}")
    return [facts.class_names.index(name) for name in names]


def spread(classes: list[int], count: int) -> tuple[Tensor, int]:
    """Return ``count`` labels (0: 20 a class), as many of each class as can be, in the order of the classes."""
    count = count or PER_CLASS * len(classes)
    return torch.tensor(classes)[torch.arange(count) * len(classes) // count], count


def new_folder(trainer: BaseTrainer) -> Path:
    """Make a folder for this study; an earlier one is never overwritten, the new one gets a number."""
    stem = Path(trainer.checkpoint["path"]).stem
    wanted = Path(trainer.config.inference.out_dir or trainer.run.path / "inference" / stem)
    folder, number = wanted, 1
    try:
        while folder.exists() and any(folder.iterdir()):
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made ({error.strerror}): set inference.out_dir to a folder") from error
    return folder


def folder_name(class_name: str) -> str:
    """Refuse a class name, from a checkpoint perhaps, that would lead elsewhere."""
    if Path(class_name).name != class_name or class_name in (".", ".."):
        raise DataError(f"the class name '{class_name}' cannot be a folder's name")
    return class_name


def write_images(folder: Path, images: Tensor, labels: Tensor | None, class_names: tuple[str, ...]) -> None:
    """Write PNGs, numbered by image, into a folder for each class."""
    folder.mkdir()
    for index, image in enumerate(images):
        place = folder if labels is None else folder / folder_name(class_names[labels[index]])
        place.mkdir(exist_ok=True)
        write_png(image, place / f"{index:05d}.png")


def judge_images(trainer: BaseTrainer, images: Tensor, test: ImageDataset) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the results, and what the judge knows of their origin."""
    judge = build_judge(trainer.config, trainer.device)
    return judge.evaluate(ImageSet.of(test), [images]), judge.provenance()


def weights_origin(trainer: BaseTrainer) -> dict[str, Any]:
    """Say where the weights of a checkpoint come from."""
    checkpoint = trainer.checkpoint
    return {
        "checkpoint": describe_file(checkpoint["path"]),
        "step": checkpoint["step"],
        "training_images_seen": checkpoint["images_seen"],
        "weights": {"ema": checkpoint["config"]["train"]["ema"], **checkpoint["config"]["ema_args"]},
        "initial_weights": checkpoint.get("initial_weights"),  # random, or another file of this project
        "foreign_weights": False,  # no weights but this project's own can be loaded
    }


def origin(trainer: BaseTrainer, plan: Plan) -> dict[str, Any]:
    """Say where the images come from: enough to make them again."""
    config = trainer.config
    return {
        **weights_origin(trainer),
        "images": plan.count,
        "seed": config.exp.seed,
        "precision": str(trainer.precision),
        "file_format": "from memory, 8 bits a channel",
        "split": "test" if plan.follows_test else None,
        **trainer.describe_sampling(),
        "environment": environment(),
        "config": plain(config),
    }
