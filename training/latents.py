"""The codec of a run: opened once, from then on a part of every checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.codecs.base import Codec
from training import persistence
from training.evaluation import pieces
from training.roles import Roles
from utils.errors import ConfigError
from utils.images import to_float

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer

BEFORE_CODECS = {"name": "identity"}  # what a checkpoint without a codec was trained with
MEASURED = 1024  # training images whose latents say how large latents are


def open_codec(trainer: BaseTrainer) -> Codec:
    """Build ``train.codec`` as the checkpoint that is studied or continued holds it; in a new run open its files.

    Raises :class:`ConfigError` when that checkpoint has another codec.
    """
    name, parts = trainer.roles.name("codec"), persistence.fixed_parts(trainer)
    kept = None if parts is None else parts.get("codec", BEFORE_CODECS)
    if kept is not None and kept["name"] != name:
        raise ConfigError(f"the checkpoint was trained with train.codec={kept['name']}, not {name}: set it to that")
    facts = {"image_size": trainer.facts.image_size, "image_channels": trainer.facts.image_channels}
    codec = trainer.roles.build("codec", **facts, kept=kept)
    codec = codec.to(trainer.device).eval().requires_grad_(False)
    if kept is None:
        codec.fit(some_training_images(trainer))
    return codec


def check_sampler(roles: Roles) -> None:
    """Raise :class:`ConfigError` when the sampler keeps latents in [-1, 1], where only images are."""
    if roles.name("codec") != "identity" and getattr(roles.build("sampler"), "clip", False):
        where = f"train.sampler={roles.name('sampler')} clips to the range of images"
        raise ConfigError(f"{where}, train.codec={roles.name('codec')} makes latents: set sampler_args.clip=false")


def some_training_images(trainer: BaseTrainer) -> Iterator[Tensor]:
    """Yield images spread evenly over the training data, as models see them, [N, C, H, W] at a time."""
    dataset = trainer.data.train
    count = min(MEASURED, len(dataset))
    rows = torch.linspace(0, len(dataset) - 1, count).round().long()
    for part in pieces(count, trainer.config.data.val_batch_size):
        yield to_float(dataset.images_at(rows[part.start : part.stop].tolist()).to(trainer.device))


@contextmanager
def sizes_of(codec: Codec) -> Iterator[None]:
    """Add to an error about image sizes that they are the latents', where they are."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{error}{codec.note}") from error
