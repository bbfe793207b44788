"""Families of models: the name in ``exp.model_type`` and the trainers it has."""

from utils.class_registry import ClassRegistry
from utils.errors import ConfigError, did_you_mean

gan_trainers_registry = ClassRegistry("GAN trainer")
diffusion_trainers_registry = ClassRegistry("diffusion trainer")
supervised_trainers_registry = ClassRegistry("supervised trainer")
autoencoder_trainers_registry = ClassRegistry("autoencoder trainer")

FAMILIES: dict[str, ClassRegistry] = {
    "gan": gan_trainers_registry,
    "diffusion": diffusion_trainers_registry,
    "supervised": supervised_trainers_registry,
    "autoencoder": autoencoder_trainers_registry,
}


def trainer_class(model_type: str, trainer: str) -> type:
    """Return the trainer that a config names; its ``schema`` is the dataclass of the config it reads.

    Without a name it is ``base_<model_type>_trainer``. Raises :class:`ConfigError` for an unknown family or trainer.
    """
    if model_type not in FAMILIES:
        raise ConfigError(f"exp.model_type: '{model_type}' is not a family.{did_you_mean(model_type, list(FAMILIES))}")
    return FAMILIES[model_type].find(trainer or f"base_{model_type}_trainer", "train.trainer")
