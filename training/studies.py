"""What ``inference.py`` does with a checkpoint: ``inference.study`` names one of these."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from evaluation.analysis import Analysis, Subject
from evaluation.tables import Record, result_table
from training.evaluation import build_judge, check_something_judges, labels_like
from training.export import export_model
from training.judging import Judgement, build_analyses, check_kind, open_reference, open_subject
from training.origins import made_origin
from training.persistence import describe_average
from training.registry import diffusion_studies_registry, studies_registry
from training.run_folder import write_whole
from utils.errors import ConfigError, DataError, MetricError, UserError, did_you_mean
from utils.images import class_grid, image_grid, write_png

if TYPE_CHECKING:
    from datasets.base import ImageDataset
    from metrics.judge import Judge
    from training.trainers.base import BaseTrainer
    from training.trainers.generative import GenerativeTrainer

PER_CLASS = 20  # images of each class where there is no test set to follow


@dataclass(frozen=True)
class Plan:
    """Which images to make."""

    labels: Tensor | None  # int64 [count]
    count: int
    follows_reference: bool  # as many as the test set, with its class distribution: what metrics need


@diffusion_studies_registry.add_to_registry(name="sample")
@studies_registry.add_to_registry(name="sample")
class SampleStudy:
    """Writes PNGs into class folders, one labelled grid, and ``metrics.json`` with every number's origin."""

    def run(self, trainer: GenerativeTrainer) -> None:
        """Make the images, then judge them. Raises :class:`MetricError` when they cannot be judged; they stay."""
        check_something_judges(trainer.config)
        reference, judge, trouble = prepare_judgement(trainer)
        plan = make_plan(trainer, reference)
        subject, analyses = None, {}
        if judge and reference is not None and plan.follows_reference:
            subject, analyses, trouble = prepare_analyses(trainer, judge, reference)
        folder = new_folder(trainer)
        images = trainer.synthesize_images(plan.labels, plan.count, trainer.config.exp.seed)
        with trainer.stages("writing images"):
            write_everything(folder, images, plan.labels, trainer.facts.class_names)
        trainer.say(f"{plan.count} images and grid.png are in {folder}")
        record = {"results": {}, "origin": origin(trainer, plan)}
        write_record(folder, record)
        if subject:
            judgement = Judgement(subject, analyses, images, plan.labels, trainer.facts.class_names)
            self.judge(trainer, judgement, record, folder)
        elif judge and not trouble:
            trainer.say(f"not judged: metrics need {len(reference)} images with the classes of the test set")
        if trouble:
            raise MetricError(f"the images are written, but not everything can be judged: {trouble}")

    def judge(self, trainer: GenerativeTrainer, judgement: Judgement, record: Record, folder: Path) -> None:
        """Add results to the record, then what each analysis finds: what is there stands when one of these fails."""
        found, stages = judgement.results(trainer), judgement.subject.judge.stages
        record |= found | {"origin": record["origin"] | found["origin"], "analyses": {}}
        record["seconds"] = trainer.stages.seconds | stages.seconds
        write_record(folder, record)
        trainer.say(f"{trainer.stages}, {stages}")
        lines: list[str] = []
        try:
            for name, finding in judgement.findings(folder / "photos"):
                record["analyses"][name] = finding.record
                lines += finding.lines
                write_record(folder, record)
        finally:
            trainer.say("\n".join([result_table(record), *lines]))


@diffusion_studies_registry.add_to_registry(name="export")
@studies_registry.add_to_registry(name="export")
class ExportStudy:
    """Writes the averaged weights as a folder to publish (see ``training/export.py``)."""

    def run(self, trainer: GenerativeTrainer) -> None:
        folder = new_folder(trainer)
        state = {**trainer.checkpoint, "average": describe_average(trainer)}
        export_model(state, trainer.average.state_dict(), folder)
        trainer.say(f"the exported model is in {folder}: sample from it with train.checkpoint_path={folder}")


def prepare_judgement(trainer: GenerativeTrainer) -> tuple[ImageDataset | None, Judge | None, str]:
    """Open the reference and build the metrics before the long work, so that trouble is told at once.

    Returns the trouble as well: images can be made without either, so it is no error yet.
    """
    reference, judge, trouble = None, None, ""
    try:
        reference = open_reference(trainer)
        judge = build_judge(trainer.config, trainer.device)
    except UserError as error:
        trouble = str(error) if trainer.config.train.val_metrics else ""
    if trouble:
        trainer.say(f"only images will be made: {trouble}")
    if reference is not None:
        check_kind(trainer, reference)
    return reference, judge, trouble


def prepare_analyses(
    trainer: GenerativeTrainer, judge: Judge, reference: ImageDataset
) -> tuple[Subject, dict[str, Analysis], str]:
    """Return what to judge against, the analyses that have what they need, and what the others miss, told at once."""
    analyses = build_analyses(trainer.config)
    subject, troubles = open_subject(trainer, judge, reference, with_train=bool(analyses)), []
    for name in list(analyses):
        try:
            analyses[name].prepare(subject)
        except UserError as error:
            del analyses[name]
            troubles.append(f"{name} is left out: {error}")
            trainer.say(troubles[-1])
    return subject, analyses, "; ".join(troubles)


def write_everything(folder: Path, images: Tensor, labels: Tensor | None, class_names: tuple[str, ...]) -> None:
    """Write the PNGs and one grid of them."""
    write_images(folder / "images", images, labels, class_names)
    write_png(
        image_grid(images[:100]) if labels is None else class_grid(images, labels, class_names), folder / "grid.png"
    )


def write_record(folder: Path, record: Record) -> None:
    """Write ``metrics.json``: once when the images are there, again with the numbers."""
    write_whole(folder / "metrics.json", json.dumps(record, indent=2) + "\n")


def make_plan(trainer: BaseTrainer, reference: ImageDataset | None) -> Plan:
    """Choose labels: those of ``inference.classes``, or as the test set has them, or as many of each class."""
    settings, facts = trainer.config.inference, trainer.facts
    if settings.classes:
        return Plan(*spread(class_numbers(settings.classes, facts), settings.num_images or 0), follows_reference=False)
    if reference is not None and settings.num_images in (None, len(reference)):
        labels = labels_like(reference) if facts.conditional else None
        return Plan(labels, len(reference), follows_reference=True)
    if not facts.conditional:
        return Plan(None, settings.num_images or 100, follows_reference=False)
    return Plan(*spread(list(range(facts.num_classes)), settings.num_images or 0), follows_reference=False)


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


def per_class(labels: Tensor, class_names: tuple[str, ...]) -> dict[str, int]:
    """Count the images of each class by its name."""
    return dict(zip(class_names, labels.bincount(minlength=len(class_names)).tolist()))


def origin(trainer: GenerativeTrainer, plan: Plan) -> dict[str, Any]:
    """Say where the images come from: enough to make them again."""
    return {
        **made_origin(trainer),
        "images": plan.count,
        "images_per_class": None if plan.labels is None else per_class(plan.labels, trainer.facts.class_names),
        "split": trainer.config.inference.split if plan.follows_reference else None,
        **trainer.describe_sampling(),
    }
