"""A trained model as a folder that diffusers' own pipeline opens: ``inference.study=export_diffusers``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models.diffusion.denoisers import DDPMDenoiser, VDenoiser
from models.diffusion.to_diffusers import fix_label, to_diffusers
from models.diffusion.unet import UNet
from training.registry import diffusion_studies_registry
from training.studies import class_numbers, new_folder
from utils.errors import ConfigError

if TYPE_CHECKING:
    from training.trainers.generative import GenerativeTrainer

ANSWERS = {DDPMDenoiser: "epsilon", VDenoiser: "v_prediction"}  # what the network says, in diffusers' words


@diffusion_studies_registry.add_to_registry(name="export_diffusers")
class DiffusersStudy:
    """Writes the averaged weights, float32, as a ``DDIMPipeline``.

    That pipeline knows no labels, so a conditional model is exported for one class, ``inference.classes=[NAME]``, or,
    where training hid labels, for none. Raises :class:`ConfigError` for a model that diffusers cannot express.
    """

    def run(self, trainer: GenerativeTrainer) -> None:
        denoiser = trainer.average
        check_expressible(denoiser, trainer.config.train.codec)
        label = chosen_label(trainer)
        network = to_diffusers(denoiser.backbone, trainer.facts.image_size)
        if label is not None:
            fix_label(network, label)
        folder = new_folder(trainer)
        write_pipeline(network, scheduler_settings(denoiser, getattr(trainer.sampler, "clip", True)), folder)
        trainer.say(
            f"the pipeline is in {folder}: DDIMPipeline.from_pretrained(folder)(num_inference_steps=50, "
            "use_clipped_model_output=True) draws as the sampler ddim does"
        )


def check_expressible(denoiser: nn.Module, codec: str) -> None:
    """Raise :class:`ConfigError` for what no pipeline of diffusers has, in one line that names the setting."""
    if codec != "identity":
        raise ConfigError("inference.study=export_diffusers needs train.codec=identity: DDIMPipeline draws pixels")
    if type(denoiser) not in ANSWERS:
        raise ConfigError(
            "inference.study=export_diffusers needs train.denoiser=ddpm or v: DDIMPipeline has tables of noise levels"
        )
    if type(denoiser.backbone) is not UNet:
        raise ConfigError("inference.study=export_diffusers needs train.model=unet: DDIMPipeline has a UNet2DModel")


def chosen_label(trainer: GenerativeTrainer) -> int | None:
    """Return the class that the pipeline is to draw: the null class where none is named, None without classes."""
    names, facts = trainer.config.inference.classes, trainer.facts
    if len(names) > 1:
        raise ConfigError("inference.classes: DDIMPipeline knows no labels, so name one class, or none")
    if names:
        return class_numbers(names, facts)[0]
    if facts.conditional and trainer.checkpoint["config"]["train"]["label_dropout"] == 0:
        raise ConfigError("inference.classes=[NAME] is missing: train.label_dropout=0 teaches no null class")
    return facts.num_classes if facts.conditional else None


def scheduler_settings(denoiser: nn.Module, clip: bool) -> dict[str, Any]:
    """Return the arguments of ``DDIMScheduler`` for the denoiser's table.

    Their spacing "trailing" is the one whose steps lead from one level to the next down to the clean image.
    """
    return {
        "num_train_timesteps": len(denoiser.table),
        "trained_betas": betas_of(denoiser.table).tolist(),
        "prediction_type": ANSWERS[type(denoiser)],
        "clip_sample": clip,
        "timestep_spacing": "trailing",
    }


def betas_of(table: Tensor) -> Tensor:
    """Return beta_t = 1 - abar_t / abar_(t - 1), float64 [T], where abar = 1 / (1 + sigma^2) of sigma [T]."""
    abar = 1 / (1 + table.double().cpu() ** 2)
    return 1 - abar / torch.cat([abar.new_ones(1), abar[:-1]])


def write_pipeline(network: nn.Module, scheduler: dict[str, Any], folder: Path) -> None:
    from diffusers import DDIMPipeline, DDIMScheduler

    DDIMPipeline(network, DDIMScheduler(**scheduler)).save_pretrained(folder)
