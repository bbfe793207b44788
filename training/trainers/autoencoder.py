"""Autoencoders: a network writes images down in fewer numbers and reads them back."""

from collections.abc import Callable
from dataclasses import field
from typing import Any

import torch
from torch import Tensor, nn

import models  # noqa: F401 - fills the registries
from metrics.base import PairMetric, SetMetric
from models.registry import autoencoders_registry
from training.config import Arguments, Coefficients, CommonConfig, InferenceSection, TrainSection
from training.data import open_held_out
from training.losses.autoencoder import KL, AutoencoderOutcome
from training.losses.builder import WeightedLosses, check_losses, check_no_stray_arguments
from training.losses.registry import autoencoder_losses_registry
from training.reconstruction import ReconstructionJudge, ReconstructionValidation
from training.registry import autoencoder_studies_registry
from training.roles import COMMON_ROLES, OPTIMIZER, Role
from training.stepping import MicroBatch
from training.trainers.base import BaseTrainer
from training.trainers.registry import autoencoder_trainers_registry
from training.window import mean_terms
from utils import distributed
from utils.images import to_float, to_uint8
from utils.schema import section


@section
class AutoencoderTrainSection(TrainSection):
    model: str = "kl_autoencoder"
    optimizer: str = "adam"
    val_metrics: list[str] = field(default_factory=lambda: ["psnr", "ssim"])


@section
class ReconstructSection(InferenceSection):
    study: str = "reconstruct"


@section
class AutoencoderConfig(CommonConfig):
    train: AutoencoderTrainSection
    inference: ReconstructSection = field(default_factory=ReconstructSection)
    model_args: Arguments = field(default_factory=dict)
    optimizer_args: Arguments = field(default_factory=dict)
    losses_coef: Coefficients = field(default_factory=lambda: {"l1": 1.0, "kl": 1e-6})


@autoencoder_trainers_registry.add_to_registry(name="base_autoencoder_trainer")
class BaseAutoencoderTrainer(BaseTrainer):
    """Shows images, asks for them back, and compares. Labels are not looked at."""

    schema = AutoencoderConfig
    averaged = "autoencoder"
    metric_kinds = (PairMetric, SetMetric)
    studies = autoencoder_studies_registry
    network_roles = ("model",)
    optimizer_roles = {"autoencoder": "optimizer"}
    role_table = {
        **COMMON_ROLES,
        "model": Role(autoencoders_registry, ("image_size", "image_channels")),
        "optimizer": OPTIMIZER,
    }

    def check_config(self) -> None:
        super().check_config()
        config = self.config
        check_losses(autoencoder_losses_registry, config.losses_coef, config.losses_args, "losses_coef")
        check_no_stray_arguments(config.losses_args, config.losses_coef)

    def build_networks(self) -> dict[str, nn.Module]:
        return {"autoencoder": self.roles.build("model", **self.facts.offered())}

    def prepare_training(self) -> None:
        self.losses = WeightedLosses(autoencoder_losses_registry, self.config.losses_coef, self.config.losses_args)
        image = torch.zeros(1, self.facts.image_channels, *[self.facts.image_size] * 2, device=self.device)
        for loss in self.losses.losses.values():
            if isinstance(loss, KL):
                with torch.no_grad():
                    loss.check(self.average.encode(image))

    def train_step(self) -> dict[str, Tensor]:
        updater, terms = self.updaters["autoencoder"], []
        for micro in self.micro_batches():
            with updater.micro_step(micro.last):
                loss, parts = self.losses(self.reconstruct(micro, updater.wrapped))
            updater.backward(loss)
            terms.append(parts)
        measured = updater.step(self.progress)
        self.ema.update(self.networks["autoencoder"], self.share.batch_size, self.images_seen)
        return mean_terms(terms) | measured

    def reconstruct(self, micro: MicroBatch, autoencoder: nn.Module) -> AutoencoderOutcome:
        """Draw a latent for every image, and ask for the image back."""
        noise = micro.rng.randn("latent", self.networks["autoencoder"].latent_shape)
        micro.rng.seed_layers("autoencoder")
        answer = autoencoder(micro.images, noise)
        return AutoencoderOutcome(micro.images, answer.images.float(), answer.posterior)

    # ---- Judging.

    def build_validation(self) -> ReconstructionValidation:
        judge = ReconstructionJudge(self.config, self.device) if distributed.is_main() else None
        held_out = open_held_out(self.roles, self.data, self.say)
        return ReconstructionValidation(self.reconstruct_images, held_out, judge, self.data.mark)

    @torch.no_grad()
    def reconstruct_images(self, images: Tensor) -> Tensor:
        """Return what the averaged network makes of uint8 images [N, C, H, W], uint8: through the mean, no noise."""
        with self.precision.autocast():
            return to_uint8(self.average(to_float(images.to(self.device))).images).cpu()

    def example_passes(self, batch_size: int) -> dict[str, Callable[[], Any]]:
        size, channels = self.facts.image_size, self.facts.image_channels
        x = torch.zeros(batch_size, channels, size, size, device=self.device)
        return {"autoencoder": lambda: self.networks["autoencoder"](x).images}
