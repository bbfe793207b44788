"""Supervised learning: a classifier is told what pictures show."""

from collections.abc import Callable
from dataclasses import field
from typing import Any

import torch
from torch import Tensor, nn

import models  # noqa: F401 - fills the registries
from metrics.base import PredictionMetric
from models.classifiers.noisy import noisy_input
from models.registry import classifiers_registry
from training.config import Arguments, Coefficients, CommonConfig, InferenceSection, TrainSection
from training.data import OFFERED, open_held_out
from training.levels import Levels
from training.losses.builder import WeightedLosses, check_losses, check_no_stray_arguments
from training.losses.registry import supervised_losses_registry
from training.losses.supervised import SupervisedOutcome
from training.predictions import HeldOutValidation, build_prediction_metrics
from training.registry import classifier_studies_registry, levels_registry
from training.roles import COMMON_ROLES, OPTIMIZER, Role
from training.stepping import MicroBatch, StepRng
from training.trainers.base import BaseTrainer
from training.trainers.registry import supervised_trainers_registry
from training.window import mean_terms
from utils.errors import ConfigError, DataError
from utils.images import to_float
from utils.schema import section, settable_parameters
from utils.seeding import derive_seed


@section
class SupervisedTrainSection(TrainSection):
    model: str = "resnet"
    optimizer: str = "adam"
    levels: str | None = None  # noise levels to train on: a classifier that guides a diffusion model
    val_metrics: list[str] = field(default_factory=lambda: ["classification"])


@section
class ClassifySection(InferenceSection):
    study: str = "classify"


@section
class SupervisedConfig(CommonConfig):
    train: SupervisedTrainSection
    inference: ClassifySection = field(default_factory=ClassifySection)
    model_args: Arguments = field(default_factory=dict)
    optimizer_args: Arguments = field(default_factory=dict)
    levels_args: Arguments = field(default_factory=dict)
    losses_coef: Coefficients = field(default_factory=lambda: {"cross_entropy": 1.0})


class CleanView:
    """The classifier sees pictures as they are."""

    def __call__(self, images: Tensor, rng: StepRng) -> tuple[Tensor, ...]:
        return (images,)


class NoisyView:
    """The classifier sees noisy pictures and is told how noisy (Dhariwal & Nichol 2021, section 4)."""

    def __init__(self, levels: Callable[[Callable[[str], Tensor]], Levels]):
        self.levels = levels

    def __call__(self, images: Tensor, rng: StepRng) -> tuple[Tensor, ...]:
        sigma = self.levels(rng.rand).sigma
        noise = rng.randn("noise", images.shape[1:])
        return noisy_input(images + sigma.view(-1, 1, 1, 1) * noise, sigma)


@supervised_trainers_registry.add_to_registry(name="base_supervised_trainer")
class BaseSupervisedTrainer(BaseTrainer):
    """Shows pictures, asks the classifier, and compares its answer with the label."""

    schema = SupervisedConfig
    averaged = "classifier"
    metric_kinds = (PredictionMetric,)
    studies = classifier_studies_registry
    network_roles = ("model", "levels")
    optimizer_roles = {"classifier": "optimizer"}
    role_table = {
        **COMMON_ROLES,
        "model": Role(classifiers_registry, (*OFFERED, "noise_conditional")),
        "optimizer": OPTIMIZER,
        "levels": Role(levels_registry, ("denoiser",)),
    }

    def check_config(self) -> None:
        super().check_config()
        config = self.config
        check_losses(supervised_losses_registry, config.losses_coef, config.losses_args, "losses_coef")
        check_no_stray_arguments(config.losses_args, config.losses_coef)
        if not config.data.conditional:
            raise ConfigError("data.conditional=false hides the labels, which a classifier learns from: remove it")
        if config.train.levels and "noise_conditional" not in settable_parameters(self.roles.cls("model")):
            raise ConfigError(f"train.levels is set, but {config.train.model} cannot be told the noise: remove it")

    def build_networks(self) -> dict[str, nn.Module]:
        if self.facts.num_classes < 2:
            raise DataError(f"a classifier needs two classes or more, not {self.facts.num_classes}")
        classifier = self.roles.build("model", **self.model_facts())
        self.view = self.make_view(classifier)
        return {"classifier": classifier}

    def model_facts(self) -> dict[str, Any]:
        """Return the arguments of the network that the data and ``train.levels`` fill in."""
        return {**self.facts.offered(), "noise_conditional": self.config.train.levels is not None}

    def make_view(self, classifier: nn.Module) -> CleanView | NoisyView:
        if self.config.train.levels is None:
            return CleanView()
        return NoisyView(self.roles.build("levels", denoiser=classifier))

    def prepare_training(self) -> None:
        self.losses = WeightedLosses(supervised_losses_registry, self.config.losses_coef, self.config.losses_args)

    def train_step(self) -> dict[str, Tensor]:
        updater, terms = self.updaters["classifier"], []
        for micro in self.micro_batches():
            with updater.micro_step(micro.last):
                outcome = self.classify(micro, updater.wrapped)
                loss, parts = self.losses(outcome)
            updater.backward(loss)
            right = outcome.logits.detach().argmax(dim=1) == outcome.labels
            terms.append(parts | {"accuracy": right.float().mean()})
        measured = updater.step(self.progress)
        self.ema.update(self.networks["classifier"], self.share.batch_size, self.images_seen)
        return mean_terms(terms) | measured

    def classify(self, micro: MicroBatch, classifier: nn.Module) -> SupervisedOutcome:
        micro.rng.seed_layers("classifier")
        seen = self.view(micro.images, micro.rng)
        return SupervisedOutcome(images=seen[0], logits=classifier(*seen).float(), labels=micro.cond.labels)

    # ---- Judging.

    def build_validation(self) -> HeldOutValidation:
        held_out = open_held_out(self.roles, self.data, self.say)
        metrics = build_prediction_metrics(self.config)
        return HeldOutValidation(self.answer, held_out, metrics, self.config.data.val_batch_size, self.data.mark)

    @torch.no_grad()
    def answer(self, images: Tensor, rows: range) -> Tensor:
        """Return the averaged network's logits, float32 [N, K], for uint8 images [N, C, H, W]: ``rows`` of a dataset.

        Where noise is added, it is the same every time.
        """
        rng = StepRng(derive_seed(self.config.exp.seed, "answer"), rows.start, len(rows), slice(None), self.device)
        seen = self.view(to_float(images.to(self.device)), rng)
        with self.precision.autocast():
            return self.average(*seen).float()

    def example_passes(self, batch_size: int) -> dict[str, Callable[[], Any]]:
        size, channels = self.facts.image_size, self.facts.image_channels
        x = torch.zeros(batch_size, channels, size, size, device=self.device)
        seen = self.view(x, StepRng(0, 0, batch_size, slice(None), self.device))
        return {"classifier": lambda: self.networks["classifier"](*seen)}
