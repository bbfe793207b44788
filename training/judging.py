"""Judging a checkpoint by the full protocol: against which images, over how many seeds, with which analyses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from evaluation.analysis import Analysis, Finding, Subject
from evaluation.floor import Spread, spreads
from evaluation.folders import InMemory
from evaluation.registry import analyses_registry
from evaluation.tables import Record
from metrics.features import ImageSet
from metrics.judge import Judge
from training.data import Facts, open_split, open_training_data
from training.origins import judged_origin
from utils.cache import fingerprint
from utils.config import without_nulls
from utils.errors import ConfigError, DataError, MetricError, UserError

if TYPE_CHECKING:
    from datasets.base import ImageDataset
    from training.trainers.base import BaseTrainer
    from training.trainers.generative import GenerativeConfig, GenerativeTrainer


def open_reference(trainer: BaseTrainer) -> ImageDataset:
    """Open what ``inference.split`` names: the test split for a result, the dev set to choose settings on.

    Raises a :class:`UserError` when it is not there, or the checkpoint was trained on it.
    """
    if trainer.config.inference.split == "test":
        return open_split(trainer.roles, "val")
    held_out = trainer.checkpoint["config"]["data"]["dev_per_class"]
    if not held_out:
        raise ConfigError("inference.split=dev: the checkpoint's run held out no dev set: use inference.split=test")
    if trainer.config.data.dev_per_class != held_out:
        raise ConfigError(f"inference.split=dev: set data.dev_per_class={held_out}, as the checkpoint's run had it")
    data = open_training_data(trainer.roles, trainer.say)
    trained_on = trainer.checkpoint.get("training_files")  # an exported model does not say
    if trained_on not in (None, fingerprint(*data.train.files)):
        raise DataError("inference.split=dev: the checkpoint trained on other files than data.input_train_dir holds")
    return data.dev


def check_kind(trainer: BaseTrainer, reference: ImageDataset) -> None:
    """Raise :class:`ConfigError` when the reference's images or classes are not of the checkpoint's kind."""
    facts = trainer.facts
    if reference.image_shape != (facts.image_channels, facts.image_size, facts.image_size):
        raise ConfigError(f"the checkpoint is for images of {facts.image_size} pixels: set data.image_size to it")
    difference = facts.difference(Facts.of(reference, facts.conditional))
    if difference:
        raise ConfigError(f"the checkpoint is of a model with {difference}: data.input_val_dir must have its classes")


@dataclass(frozen=True)
class Judgement:
    """A checkpoint's images beside the reference."""

    subject: Subject  # without the images
    analyses: dict[str, Analysis]
    images: Tensor  # uint8 [N, C, H, W], of the first seed
    labels: Tensor | None  # int64 [N]
    class_names: tuple[str, ...]

    @cached_property
    def generated(self) -> InMemory:
        """The images of the first seed as a dataset."""
        return InMemory(self.images, self.labels, self.class_names, fingerprint(self.images.numpy().tobytes()))

    def results(self, trainer: GenerativeTrainer) -> Record:
        """Return results, over sampling seeds where several are asked for, and their origin."""
        config = trainer.config
        seeds = list(range(config.exp.seed, config.exp.seed + config.inference.seeds))
        found = self.over_seeds(trainer, seeds)
        record: Record = {"results": {name: it.mean for name, it in found.items()}}
        if len(seeds) > 1:
            record["std"] = {name: it.std for name, it in found.items()}
            record["values"] = {name: list(it.values) for name, it in found.items()}
        origin = judged_origin(trainer, ImageSet.of(self.subject.real)) | {"sampling_seeds": seeds}
        return {**record, "origin": origin | self.subject.judge.provenance()}

    def over_seeds(self, trainer: GenerativeTrainer, seeds: list[int]) -> dict[str, Spread]:
        """Return every result over the seeds: the same weights, other noise."""
        real, results = ImageSet.of(self.subject.real), []
        for number, seed in enumerate(seeds):
            again = [trainer.synthesize_images(self.labels, len(self.images), seed)] if number else self.first()
            results.append(self.subject.judge.evaluate(real, again))
        return spreads(results)

    def first(self) -> ImageSet | list[Tensor]:
        """Return the images of the first seed: as a set, whose features are kept, where an analysis asks for these."""
        again = any(analysis.sees_features and analysis.sees_generated for analysis in self.analyses.values())
        return ImageSet.of(self.generated) if again else [self.images]

    def findings(self, folder: Path) -> Iterator[tuple[str, Finding]]:
        """Run the analyses, one after the other; pictures, which may show photos of the data, go to ``folder``.

        Raises ``MetricError`` when one fails.
        """
        if not self.analyses:
            return
        folder.mkdir()
        subject = replace(self.subject, fake=self.generated, pictures=folder)
        for name, analysis in self.analyses.items():
            try:
                yield name, analysis.run(subject)
            except UserError as error:
                raise MetricError(f"the analysis {name} failed, what came before is written: {error}") from error


def build_analyses(config: GenerativeConfig) -> dict[str, Analysis]:
    """Build ``inference.analyses``, each with its arguments."""
    chosen = {name: without_nulls(config.metrics_args.get(name, {})) for name in config.inference.analyses}
    return {name: analyses_registry[name](**arguments) for name, arguments in chosen.items()}


def open_subject(trainer: BaseTrainer, judge: Judge, reference: ImageDataset, with_train: bool) -> Subject:
    """Return what images will be held against: the reference and, if asked for, the training images.

    The test's and the dev set's are not among these; only some analyses need any, so the subject says why if there are
    none.
    """
    subject = Subject(reference, judge)
    if not with_train:
        return subject
    try:
        return replace(subject, train=open_training_data(trainer.roles, trainer.say).train)
    except UserError as error:
        return replace(subject, no_train=str(error))
