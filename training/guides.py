"""What guides a diffusion model besides itself: which settings fit together, and how ``train.guide_path`` is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from models.classifiers.export import load_noisy_classifier
from training import persistence
from training.roles import Roles
from utils.errors import ConfigError
from utils.schema import settable_parameters

if TYPE_CHECKING:
    from training.trainers.generative import GenerativeTrainer


def open_classifier(trainer: GenerativeTrainer, path: str) -> nn.Module:
    """Open an exported classifier of noisy pictures. Raises :class:`ConfigError` if it knows other classes."""
    classifier = load_noisy_classifier(path, "train.guide_path")
    if classifier.class_names != trainer.facts.class_names:
        raise ConfigError(f"train.guide_path={path} names other classes than this model's data: train one on these")
    return classifier.to(trainer.device)


# What may guide besides the model itself: a parameter of a guidance, and how train.guide_path is opened for it.
GUIDES = {"guide": persistence.load_guide, "classifier": open_classifier}


def check_guidance(train: Any, roles: Roles) -> None:
    """Hold ``train.guidance`` and ``train.guide_path`` against each other and the rest of the section.

    Raises :class:`ConfigError` for what does not fit together.
    """
    if train.guidance and roles.cls("guidance").needs_null_class and train.label_dropout == 0:
        raise ConfigError(f"train.guidance={train.guidance} needs a null class: train with train.label_dropout=0.1")
    asks = GUIDES.keys() & settable_parameters(roles.cls("guidance")) if train.guidance else set()
    if train.guide_path and not asks:
        raise ConfigError(f"train.guide_path is set, but train.guidance={train.guidance} asks no other: remove it")
    if "classifier" in asks and train.codec != "identity":
        raise ConfigError(f"train.guidance={train.guidance} knows images, not the latents of train.codec: use cfg")


def open_guides(trainer: GenerativeTrainer) -> dict[str, nn.Module | None]:
    """Open ``train.guide_path`` as whatever the guidance takes; None where no file is named.

    Raises :class:`ConfigError` when the guidance needs classes and the model has none.
    """
    train, guidance = trainer.config.train, trainer.roles.cls("guidance")
    if guidance.needs_classes and not trainer.facts.conditional:
        raise ConfigError(
            f"train.guidance={train.guidance} needs a model with classes: this one is unconditional, leave guidance out"
        )
    takes = settable_parameters(guidance)
    return {
        name: train.guide_path and open_one(trainer, train.guide_path)
        for name, open_one in GUIDES.items()
        if name in takes
    }
