"""GANs: a generator and a discriminator take turns."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import models  # noqa: F401 - fills the registries
import training.disc_augment  # noqa: F401
from models.gan.style import StyleGenerator, Truncated
from models.registry import discs_registry, gens_registry
from training.alarms import Alarm, LogitsApart
from training.config import Arguments, Coefficients
from training.data import OFFERED
from training.losses.builder import WeightedLosses, check_losses, check_no_stray_arguments
from training.losses.gan import GanOutcome
from training.losses.registry import disc_losses_registry, gen_losses_registry
from training.precision import check_fits
from training.registry import disc_augments_registry
from training.roles import COMMON_ROLES, OPTIMIZER, Role
from training.stepping import MicroBatch, StepRng
from training.trainers.generative import (
    GenerativeConfig,
    GenerativeTrainer,
    GenerativeTrainSection,
    SamplingSection,
)
from training.trainers.registry import gan_trainers_registry
from training.updater import trainable
from training.window import mean_terms
from utils.batch import Condition
from utils.errors import ConfigError
from utils.schema import Fraction, PositiveInt, section
from utils.seeding import ImageRng


@section
class GanTrainSection(GenerativeTrainSection):
    generator: str = "base_gen"
    discriminator: str = "base_disc"
    gen_optimizer: str = "adam"
    disc_optimizer: str = "adam"
    disc_steps: PositiveInt = 1  # discriminator updates a generator update, each on data.train_batch_size new images
    disc_augment: str | None = None  # what the discriminator is shown of the images


@section
class GanSamplingSection(SamplingSection):
    truncation: Fraction = 1.0  # psi of a style generator: below 1 less variety, for better pictures


@section
class GanConfig(GenerativeConfig):
    train: GanTrainSection
    inference: GanSamplingSection = field(default_factory=GanSamplingSection)
    generator_args: Arguments = field(default_factory=dict)
    discriminator_args: Arguments = field(default_factory=dict)
    gen_optimizer_args: Arguments = field(default_factory=dict)
    disc_optimizer_args: Arguments = field(default_factory=dict)
    disc_augment_args: Arguments = field(default_factory=dict)
    gen_losses: Coefficients = field(default_factory=dict)
    disc_losses: Coefficients = field(default_factory=dict)


@dataclass(frozen=True)
class MoveDraws:
    """What one player's move draws at random for a micro-batch."""

    rng: StepRng
    move: str
    disc_augment: Any  # None: the discriminator sees images as they are

    def rand(self, purpose: str) -> Tensor:
        return self.rng.rand(f"{purpose}/{self.move}")

    def randn(self, purpose: str, shape: Sequence[int]) -> Tensor:
        return self.rng.randn(f"{purpose}/{self.move}", shape)

    def augment(self, images: Tensor, which: str) -> Tensor:
        if self.disc_augment is None:
            return images
        return self.disc_augment(images, self.rng.rand(f"augment/{self.move}/{which}", (self.disc_augment.numbers,)))


@contextmanager
def watching(network: nn.Module) -> Iterator[nn.Module]:
    """Let gradients pass through a network without reaching its weights: the other player's turn."""
    parameters = trainable(network)
    try:
        yield network.requires_grad_(False)
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@gan_trainers_registry.add_to_registry(name="base_gan_trainer")
class BaseGANTrainer(GenerativeTrainer):
    """Each step the discriminator learns to tell real from generated, then the generator to pass as real.

    Both see the labels of the same real images; each move draws its own latents. With ``train.disc_steps`` of k the
    discriminator takes k updates a step, on new images each: they all count as seen, so an epoch and the EMA's
    half-life, in images, mean what they mean at k = 1.
    """

    schema = GanConfig
    averaged = "generator"
    network_roles = ("generator", "discriminator")
    penalised = frozenset({"discriminator"})
    optimizer_roles = {"generator": "gen_optimizer", "discriminator": "disc_optimizer"}
    role_table = {
        **COMMON_ROLES,
        "generator": Role(gens_registry, OFFERED),
        "discriminator": Role(discs_registry, OFFERED),
        "gen_optimizer": OPTIMIZER,
        "disc_optimizer": OPTIMIZER,
        "disc_augment": Role(disc_augments_registry),
    }

    @property
    def batches_per_step(self) -> int:
        return self.config.train.disc_steps

    def check_config(self) -> None:
        super().check_config()
        config = self.config
        check_losses(gen_losses_registry, config.gen_losses, config.losses_args, "gen_losses")
        check_losses(disc_losses_registry, config.disc_losses, config.losses_args, "disc_losses")
        check_no_stray_arguments(config.losses_args, config.gen_losses, config.disc_losses)
        for role in self.network_roles:
            check_fits(self.precision, config.train.amp, self.roles.cls(role), f"train.{role}={self.roles.name(role)}")
        for name in config.gen_losses:
            self.roles.require(
                "generator", getattr(gen_losses_registry[name], "needs", nn.Module), f"gen_losses.{name}"
            )
        if config.inference.truncation != 1:
            self.roles.require("generator", StyleGenerator, "inference.truncation")

    def build_networks(self) -> dict[str, nn.Module]:
        built = {name: self.roles.build(name, **self.facts.offered()) for name in ("generator", "discriminator")}
        if not isinstance(getattr(built["generator"], "z_dim", None), int):
            raise ConfigError(f"generator '{self.roles.name('generator')}' must keep its z_dim: self.z_dim = z_dim")
        return built

    def prepare_training(self) -> None:
        arguments = self.config.losses_args
        self.gen_losses = WeightedLosses(gen_losses_registry, self.config.gen_losses, arguments)
        self.disc_losses = WeightedLosses(disc_losses_registry, self.config.disc_losses, arguments)
        self.disc_augment = self.roles.build("disc_augment") if self.roles.name("disc_augment") else None

    def memories(self) -> dict[str, Any]:
        return {"gen_losses": self.gen_losses, "disc_losses": self.disc_losses}

    def build_alarms(self) -> list[Alarm]:
        return [*super().build_alarms(), LogitsApart()]

    def train_step(self) -> dict[str, Tensor]:
        terms = []
        for turn in range(self.batches_per_step):
            micros = self.micro_batches(turn)
            terms.append(self.discriminator_move(micros))
        terms = mean_terms(terms) | self.generator_move(micros)
        self.ema.update(self.networks["generator"], self.images_per_step, self.images_seen)
        return terms

    def discriminator_move(self, micros: list[MicroBatch]) -> dict[str, Tensor]:
        updater, generator, terms = self.updaters["discriminator"], self.networks["generator"], []
        for micro in micros:
            z, draws = self.latents(micro, "discriminator"), MoveDraws(micro.rng, "discriminator", self.disc_augment)
            with updater.micro_step(micro.last):
                with torch.no_grad():
                    fake = generator(z, micro.cond).float()
                outcome = GanOutcome(
                    step=micro.rng.step,
                    progress=self.progress,
                    real=micro.images.detach().requires_grad_(True),
                    fake=fake.requires_grad_(True),
                    z=z,
                    cond=micro.cond,
                    generator=generator,
                    discriminator=updater.wrapped,
                    rand=draws.rand,
                    randn=draws.randn,
                    augment=draws.augment,
                )
                loss, parts = self.disc_losses(outcome)
                logits = {"real_logits": outcome.real_logits, "fake_logits": outcome.fake_logits}
            updater.backward(loss)
            terms.append(parts | {name: value.detach().mean() for name, value in logits.items()})
        return mean_terms(terms) | updater.step(self.progress)

    def generator_move(self, micros: list[MicroBatch]) -> dict[str, Tensor]:
        updater, generator, terms = self.updaters["generator"], self.networks["generator"], []
        with watching(self.networks["discriminator"]) as disc:
            for micro in micros:
                z, draws = self.latents(micro, "generator"), MoveDraws(micro.rng, "generator", self.disc_augment)
                with updater.micro_step(micro.last):
                    outcome = GanOutcome(
                        step=self.step,
                        progress=self.progress,
                        real=micro.images,
                        fake=updater.wrapped(z, micro.cond).float(),
                        z=z,
                        cond=micro.cond,
                        generator=generator,
                        discriminator=disc,
                        rand=draws.rand,
                        randn=draws.randn,
                        augment=draws.augment,
                    )
                    loss, parts = self.gen_losses(outcome)
                updater.backward(loss)
                terms.append(parts)
        return mean_terms(terms) | {f"gen_{name}": value for name, value in updater.step(self.progress).items()}

    def latents(self, micro: MicroBatch, move: str) -> Tensor:
        """Draw z [N, Z] for a move, and seed what the networks draw by themselves."""
        micro.rng.seed_layers(move)
        return micro.rng.randn(f"z/{move}", (self.networks["generator"].z_dim,))

    # ---- Images.

    def generate(self, labels: Tensor | None, indices: range, seed: int, quick: bool) -> Tensor:
        z = ImageRng(seed, indices).randn((self.average.z_dim,), self.device)
        return self.sampled(z, Condition(labels))

    def prepare_sampling(self) -> None:
        self.sampled = self.average  # what is looked at in training is never truncated

    def setup_inference(self) -> None:
        super().setup_inference()
        if self.config.inference.truncation != 1:
            self.sampled = Truncated(self.average, self.config.inference.truncation)

    def describe_sampling(self) -> dict[str, Any]:
        return {"evaluations_per_image": 1, "truncation": self.config.inference.truncation}

    def example_passes(self, batch_size: int) -> dict[str, Callable[[], Any]]:
        size, channels = self.facts.image_size, self.facts.image_channels
        x = torch.zeros(batch_size, channels, size, size, device=self.device)
        z = torch.zeros(batch_size, self.networks["generator"].z_dim, device=self.device)
        labels = torch.zeros(batch_size, dtype=torch.long, device=self.device) if self.facts.conditional else None
        players = self.networks
        return {
            "generator": lambda: players["generator"](z, Condition(labels)),
            "discriminator": lambda: players["discriminator"](x, Condition(labels)),
        }
