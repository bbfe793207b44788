"""The way from noise to image, as a picture: what the model takes the image for, at some of the noise levels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from report.keeping import large_grid, save
from training.launch import load_trainer
from utils.batch import Condition
from utils.images import to_uint8
from utils.seeding import ImageRng

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer

IMAGES, STOPS = 4, 8


def draw_way(words: list[str], seed: int, path: Path) -> None:
    """Write a picture of ``IMAGES`` rows for the checkpoint that ``words`` name; nothing for a model without levels."""
    trainer = load_trainer(words)
    trainer.setup_inference()
    if hasattr(trainer, "sampling_levels"):
        save(large_grid(way(trainer, seed).flatten(0, 1), STOPS), path)


@torch.no_grad()
def way(trainer: BaseTrainer, seed: int) -> Tensor:
    """Return uint8 [IMAGES, STOPS, C, H, W]: from the highest level, where the guess is blurred, to the finished image.

    Stopping after k levels and going straight to zero is the model's guess of the clean image at level k.
    """
    facts, levels = trainer.facts, trainer.sampling_levels  # [steps + 1], the last one 0
    indices = range(IMAGES)
    noise = ImageRng(seed, indices).randn((facts.image_channels, facts.image_size, facts.image_size), trainer.device)
    classes = torch.linspace(0, max(facts.num_classes - 1, 0), IMAGES).round().long().to(trainer.device)
    cond = Condition(classes if facts.num_classes else None)
    stops = torch.linspace(1, len(levels) - 1, STOPS).round().int().tolist()
    guesses = []
    for stop in stops:
        until = torch.cat([levels[:stop], levels[-1:]])
        guesses.append(trainer.sampler(trainer.guided, noise, cond, until, ImageRng(seed, indices)))
    return to_uint8(torch.stack(guesses, dim=1)).cpu()
