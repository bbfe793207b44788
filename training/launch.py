"""From the words of a command to the trainer they describe."""

import datasets  # noqa: F401 - these fill the registries
import evaluation  # noqa: F401
import metrics  # noqa: F401
import training.classify
import training.ema
import training.export_diffusers
import training.levels
import training.likelihood
import training.optimizers
import training.reconstruct
import training.schedules
import training.studies
import training.trainers  # noqa: F401
from training.config import ExperimentSection
from training.trainers.base import BaseTrainer
from training.trainers.registry import trainer_class
from utils.config import find, load_tree
from utils.errors import ConfigError
from utils.schema import bind


def load_trainer(arguments: list[str]) -> BaseTrainer:
    """Read the config that ``arguments`` name and build its trainer; nothing is opened yet.

    Raises :class:`ConfigError` for anything that is wrong with the config itself.
    """
    tree = load_tree(arguments)
    model_type = find(tree, ["exp", "model_type"]) or ExperimentSection.model_type
    trainer = find(tree, ["train", "trainer"]) or ""
    for key, word in (("exp.model_type", model_type), ("train.trainer", trainer)):
        if not isinstance(word, str):
            raise ConfigError(f"{key}={word}: it should be a name")
    cls = trainer_class(model_type, trainer)
    return cls(bind(cls.schema, tree))
