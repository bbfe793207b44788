"""Diffusion models: a denoiser learns, a sampler makes images."""

from collections.abc import Callable
from dataclasses import field, replace
from typing import Any

import torch
from torch import Tensor, nn

import models  # noqa: F401 - fills the registries
import sampling  # noqa: F401
from models.diffusion.base_diffusion import BaseDiffusion
from models.diffusion.denoisers import Prediction, TableDenoiser
from models.registry import codecs_registry, denoisers_registry, diffusion_models_registry
from sampling.registry import guidance_registry, samplers_registry, sampling_levels_registry
from training import persistence
from training.config import Arguments, Coefficients
from training.data import OFFERED
from training.guides import GUIDES, check_guidance, open_guides
from training.latents import check_sampler, open_codec, sizes_of
from training.losses.builder import WeightedLosses, check_losses, check_no_stray_arguments
from training.losses.diffusion import Demanding, DiffusionOutcome
from training.losses.registry import losses_registry
from training.registry import diffusion_studies_registry, levels_registry
from training.roles import COMMON_ROLES, OPTIMIZER, Role
from training.stepping import MicroBatch
from training.trainers.generative import GenerativeConfig, GenerativeTrainer, GenerativeTrainSection
from training.trainers.registry import diffusion_trainers_registry
from training.window import mean_terms
from utils.batch import Condition
from utils.errors import ConfigError
from utils.schema import Fraction, PositiveInt, blame, section, settable_parameters
from utils.seeding import ImageRng


@section
class DiffusionTrainSection(GenerativeTrainSection):
    model: str = "base_diffusion"
    denoiser: str = "ddpm"
    codec: str = "identity"  # what stands between images and model: an autoencoder for latent diffusion
    levels: str = "table"  # noise levels in training
    optimizer: str = "adam"
    sampler: str = "ddim"
    sampling_levels: str = "respaced"
    guidance: str | None = None
    guide_path: str | None = None  # auto: a weaker checkpoint of the same model; classifier: an exported one
    label_dropout: Fraction = 0.0  # how often a label is hidden, so that guidance has a null class to lean on
    val_sampling_steps: PositiveInt = 10  # steps of a quick validation


@section
class DiffusionConfig(GenerativeConfig):
    train: DiffusionTrainSection
    model_args: Arguments = field(default_factory=dict)
    denoiser_args: Arguments = field(default_factory=dict)
    codec_args: Arguments = field(default_factory=dict)
    levels_args: Arguments = field(default_factory=dict)
    optimizer_args: Arguments = field(default_factory=dict)
    sampler_args: Arguments = field(default_factory=dict)
    sampling_levels_args: Arguments = field(default_factory=dict)
    guidance_args: Arguments = field(default_factory=dict)
    losses_coef: Coefficients = field(default_factory=lambda: {"mse": 1.0})


class Predict(nn.Module):
    """Makes ``denoiser.predict`` a module's forward, which is what averages gradients over processes."""

    def __init__(self, denoiser: nn.Module):
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x: Tensor, sigma: Tensor, cond: Condition) -> Prediction:
        return self.denoiser.predict(x, sigma, cond)


@diffusion_trainers_registry.add_to_registry(name="base_diffusion_trainer")
class BaseDiffusionTrainer(GenerativeTrainer):
    """Adds noise to images, asks the denoiser, and compares its answer with what it should be."""

    schema = DiffusionConfig
    averaged = "denoiser"
    studies = diffusion_studies_registry
    network_roles = ("model", "denoiser")
    optimizer_roles = {"denoiser": "optimizer"}
    role_table = {
        **COMMON_ROLES,
        # How many channels come out is the denoiser's business: one that learns a variance offers another number.
        "model": Role(diffusion_models_registry, (*OFFERED, "out_channels")),
        "denoiser": Role(denoisers_registry, ("backbone",)),
        "codec": Role(codecs_registry, ("image_size", "image_channels", "kept")),
        "levels": Role(levels_registry, ("denoiser",)),
        "optimizer": OPTIMIZER,
        "sampler": Role(samplers_registry),
        "sampling_levels": Role(sampling_levels_registry),
        "guidance": Role(guidance_registry, ("denoiser", "num_classes", *GUIDES)),
    }

    def check_config(self) -> None:
        super().check_config()
        check_losses(losses_registry, self.config.losses_coef, self.config.losses_args, "losses_coef")
        check_no_stray_arguments(self.config.losses_args, self.config.losses_coef)
        check_guidance(self.config.train, self.roles)
        check_sampler(self.roles)
        guided = self.config.train.guidance and self.roles.cls("guidance").needs_classes  # refused with its own line
        if self.config.train.label_dropout and not self.config.data.conditional and not guided:
            raise ConfigError("train.label_dropout hides labels, data.conditional=false has none: set it to 0")

    def build_networks(self) -> dict[str, nn.Module]:
        outputs = self.roles.cls("denoiser").outputs
        if outputs > 1 and "out_channels" not in settable_parameters(self.roles.cls("model")):
            asks = f"train.denoiser={self.roles.name('denoiser')} also asks for a variance"
            raise ConfigError(f"{asks}, which {self.roles.name('model')} has no channels for: use train.model=unet")
        self.codec = open_codec(self)
        facts = self.facts.offered() | self.codec.offered()
        with sizes_of(self.codec):
            backbone = self.roles.build("model", **facts, out_channels=outputs * facts["image_channels"])
        return {"denoiser": self.roles.build("denoiser", backbone=backbone, **self.table_length(backbone))}

    def table_length(self, backbone: nn.Module) -> dict[str, int]:
        """Return the length of the denoiser's table that the template's ``base_diffusion`` brings, if none is set."""
        both = (self.config.model_args, self.config.denoiser_args)
        asked = [args["num_steps"] for args in both if "num_steps" in args]
        if len(set(asked)) > 1:
            raise ConfigError(
                f"model_args.num_steps={asked[0]} and denoiser_args.num_steps={asked[1]} differ: keep one"
            )
        denoiser = self.roles.name("denoiser")
        if asked and isinstance(backbone, BaseDiffusion) and not issubclass(self.roles.cls("denoiser"), TableDenoiser):
            raise ConfigError(
                f"model_args.num_steps is a table's length, train.denoiser={denoiser} has none: remove it"
            )
        if "num_steps" in self.config.denoiser_args or not hasattr(backbone, "num_steps"):
            return {}
        return {"num_steps": backbone.num_steps}

    def fixed_parts(self) -> dict[str, dict[str, Any]]:
        return {"codec": {"name": self.roles.name("codec"), **self.codec.kept()}}

    def prepare_training(self) -> None:
        self.losses = WeightedLosses(losses_registry, self.config.losses_coef, self.config.losses_args)
        self.levels = self.roles.build("levels", denoiser=self.networks["denoiser"])
        for name, loss in self.losses.losses.items():
            if isinstance(loss, Demanding):
                loss.check(self.networks["denoiser"], self.levels)
            if self.levels.needs_weights and not getattr(loss, "weighted", False):
                levels = f"train.levels={self.roles.name('levels')}"
                raise ConfigError(
                    f"losses_coef: {name} ignores the weights of {levels}: use vlb, or train.levels=table"
                )

    def memories(self) -> dict[str, Any]:
        return {"levels": self.levels}

    def module_in_training(self, name: str) -> nn.Module:
        return Predict(self.networks[name])

    def modules_to_compile(self) -> dict[str, nn.Module]:
        return {"backbone": self.networks["denoiser"].backbone}

    def train_step(self) -> dict[str, Tensor]:
        updater, terms = self.updaters["denoiser"], []
        for micro in self.micro_batches():
            with updater.micro_step(micro.last):
                outcome = self.denoise(micro, updater.wrapped)
                loss, parts = self.losses(outcome)
            updater.backward(loss)
            self.levels.learn(outcome, micro.last)
            terms.append(parts)
        measured = updater.step(self.progress)
        self.ema.update(self.networks["denoiser"], self.share.batch_size, self.images_seen)
        return mean_terms(terms) | measured

    def denoise(self, micro: MicroBatch, predict: nn.Module) -> DiffusionOutcome:
        """Draw noise and its level for every image, and ask the network."""
        clean = self.codec.encode(micro.images)
        noise = micro.rng.randn("noise", clean.shape[1:])
        levels = self.levels(micro.rng.rand)
        cond = self.hide_labels(micro)
        micro.rng.seed_layers("denoiser")
        prediction = predict(clean + levels.sigma[:, None, None, None] * noise, levels.sigma, cond)
        target = self.networks["denoiser"].target(clean, noise, levels.sigma)
        return DiffusionOutcome(
            clean=clean,
            noise=noise,
            sigma=levels.sigma,
            weight=levels.weight,
            target=target,
            prediction=prediction,
            cond=cond,
            steps=levels.steps,
        )

    def hide_labels(self, micro: MicroBatch) -> Condition:
        """Replace labels by the null class, at random (Ho & Salimans 2022, Algorithm 1)."""
        if micro.cond.labels is None or self.config.train.label_dropout == 0:
            return micro.cond
        hidden = micro.rng.rand("label_dropout") < self.config.train.label_dropout
        return replace(micro.cond, labels=micro.cond.labels.masked_fill(hidden, self.facts.num_classes))

    # ---- Images.

    def prepare_sampling(self) -> None:
        self.sampler = self.roles.build("sampler")
        schedule = self.roles.build("sampling_levels")
        with blame("sampling_levels_args"):
            self.sampling_levels = schedule.levels(self.average)  # [steps + 1]
        steps = min(self.config.train.val_sampling_steps, schedule.steps)
        quick = {**self.roles.arguments("sampling_levels"), "steps": steps}
        self.quick_levels = self.roles.cls("sampling_levels")(**quick).levels(self.average)
        self.guided = self.average
        if self.config.train.guidance:
            offered = {"num_classes": self.facts.num_classes, **open_guides(self)}
            self.guided = self.roles.build("guidance", denoiser=self.average, **offered)

    def generate(self, labels: Tensor | None, indices: range, seed: int, quick: bool) -> Tensor:
        rng = ImageRng(seed, indices)
        noise = rng.randn(self.codec.latent_shape, self.device)
        levels = self.quick_levels if quick else self.sampling_levels
        return self.codec.decode(self.sampler(self.guided, noise, Condition(labels), levels, rng))

    def describe_sampling(self) -> dict[str, Any]:
        steps = len(self.sampling_levels) - 1
        per_call = self.guided.evaluations(self.sampling_levels) if self.config.train.guidance else 1
        roles = ("sampler", "sampling_levels", "guidance", "codec")
        described = {role: {"name": self.roles.name(role), **self.roles.arguments(role)} for role in roles}
        described["codec"] |= self.codec.described_origin()
        if self.config.train.guide_path:
            described["guide"] = persistence.describe_file(self.config.train.guide_path)
        return {**described, "steps": steps, "evaluations_per_image": self.sampler.evaluations(steps) * per_call}

    def example_passes(self, batch_size: int) -> dict[str, Callable[[], Any]]:
        x = torch.zeros(batch_size, *self.codec.latent_shape, device=self.device)
        sigma = torch.ones(batch_size, device=self.device)
        labels = torch.zeros(batch_size, dtype=torch.long, device=self.device) if self.facts.conditional else None
        denoiser = self.networks["denoiser"]
        return {"denoiser": lambda: denoiser.predict(x, sigma, Condition(labels)).output}
