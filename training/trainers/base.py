"""The loop that every family shares, and what surrounds it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from datasets.loaders import Share
from metrics.base import Metric
from training import persistence, saving
from training.alarms import Alarm, Alarms, EmaLags, FigureTurns, ScaleCollapses
from training.best import Best, check_best
from training.clock import Clock
from training.compiling import prepare_device
from training.config import CommonConfig, check_counts
from training.data import Facts, open_training_data
from training.ema import relative_distance
from training.evaluation import check_metrics
from training.loggers import open_loggers
from training.precision import choose_precision
from training.roles import Role, Roles
from training.run_folder import RunFolder
from training.speed import Speedometer
from training.stepping import BatchFeed, MicroBatch, build_augmentations
from training.updater import Updater, freeze, placed, trainable
from training.validation import Validation, prepare_validation
from training.window import LossWindow, complaints, means
from utils import distributed
from utils.class_registry import ClassRegistry
from utils.seeding import derive_seed


class BaseTrainer(ABC):
    """Trains networks by a config, or studies a checkpoint of them.

    A family says which networks there are, what a step does, and what is looked at in validation and in a study.
    Nothing here asks which family it is.
    """

    schema: ClassVar[type[CommonConfig]]  # the config that this trainer reads
    role_table: ClassVar[Mapping[str, Role]]
    network_roles: ClassVar[tuple[str, ...]]  # the roles that make the networks: a checkpoint fits only the same
    optimizer_roles: ClassVar[Mapping[str, str]]  # network: the role of its optimizer
    averaged: ClassVar[str]  # the network that is of use after training: validation and studies see its average
    batches_per_step: int = 1  # a property where the config says
    metric_kinds: ClassVar[tuple[type[Metric], ...]]  # what train.val_metrics may name
    studies: ClassVar[ClassRegistry]  # what inference.study may name
    say = staticmethod(distributed.say)
    penalised: ClassVar[frozenset[str]] = frozenset()  # differentiated twice: not compiled, and no SyncBatchNorm

    def __init__(self, config: CommonConfig):
        self.config = config
        self.roles = Roles(config, self.role_table)
        self.checkpoint: dict[str, Any] | None = None  # the one that is studied
        self.step = 0  # optimizer updates done
        self.saved_step = 0  # of the run's newest checkpoint; every process knows it, without a look at the disk
        self.images_seen = 0  # training images, over all processes; in a step, its own are counted

    @abstractmethod
    def build_networks(self) -> dict[str, nn.Module]:
        """Construct the networks by name."""

    @abstractmethod
    def train_step(self) -> dict[str, Tensor]:
        """Take one optimizer step for each player; return the unweighted losses by name, left on the device."""

    @abstractmethod
    def build_validation(self) -> Validation:
        """Return what looks at ``self.average`` during training."""

    @abstractmethod
    def example_passes(self, batch_size: int) -> dict[str, Callable[[], Any]]:
        """Return, by network, a function that runs it forward once: what ``exp.check`` counts."""

    def prepare_training(self) -> None:  # noqa: B027 - most families need nothing more
        """Build what else a family trains with: losses, noise levels."""

    def memories(self) -> dict[str, Any]:
        """Return what else has a ``state_dict`` that the run needs to go on, by name."""
        return {}

    def fixed_parts(self) -> dict[str, dict[str, Any]]:
        """Return what else the model is made of and is not trained: every checkpoint holds it."""
        return {}

    def build_alarms(self) -> list[Alarm]:
        """Return what watches over the logged values."""
        return [EmaLags(fix=self.ema.shorter), FigureTurns.of(self.config.train), ScaleCollapses()]

    def module_in_training(self, name: str) -> nn.Module:
        """Return what the learning player calls: the network itself unless a family wraps it."""
        return self.networks[name]

    def modules_to_compile(self) -> dict[str, nn.Module]:
        return {name: network for name, network in self.networks.items() if name not in self.penalised}

    def check_config(self) -> None:
        """Check all that can be checked before any data is opened. Raises :class:`ConfigError`."""
        config = self.config
        self.roles.check()
        check_metrics(config, self.metric_kinds)
        build_augmentations(config)
        self.studies.find(config.inference.study, "inference.study")
        self.run = RunFolder(config)
        self.best = Best.of(self.run.checkpoints, config.train)
        self.device = distributed.choose_device(config.exp.device)
        self.precision = choose_precision(config.train.amp, self.device)
        check_counts(config, distributed.world_size())

    def setup(self) -> None:
        """Build everything that training needs; nothing is written yet."""
        self.check_config()
        check_best(self.config)
        persistence.check_start(self)
        with distributed.main_first():
            self.data = open_training_data(self.roles, self.say)
        self.share = Share(self.config.data.train_batch_size, distributed.rank(), distributed.world_size())
        self.make_networks(self.data.facts)
        persistence.initialise(self)
        freeze(self.networks, self.config.train.freeze)
        self.ema = self.roles.build("ema", network=self.networks[self.averaged])
        self.average = self.ema.module
        prepare_device(self)
        self.updaters = {name: self.build_updater(name) for name in self.networks}
        self.window = LossWindow()
        self.alarms = Alarms(self.build_alarms())
        self.prepare_training()
        self.validation = self.build_validation()

    def make_networks(self, facts: Facts) -> None:
        """Build the networks, with initial weights that are a function of the seed alone."""
        self.facts = facts
        torch.manual_seed(derive_seed(self.config.exp.seed, "weights"))
        self.networks = placed(self.build_networks(), self.device, self.penalised)

    def build_updater(self, name: str) -> Updater:
        train = self.config.train
        optimizer = self.roles.build(self.optimizer_roles[name], params=trainable(self.networks[name]))
        module, schedule = self.module_in_training(name), self.roles.build("schedule")
        return Updater(module, optimizer, schedule, self.precision, train.accumulate, train.max_grad_norm)

    def open_run(self) -> None:
        """Go on with what is in the run folder, and start the data and the logs at the right place."""
        persistence.resume(self)
        distributed.barrier()  # everybody has read before the first process writes
        if distributed.is_main():
            self.run.open(self.step)
            self.run.truncate_logs(self.step)
            self.run.list_left_out(self.data.leaks)
        distributed.barrier()
        self.speedometer = Speedometer.of(self)
        self.clock = Clock(self.device, self.config.train.stop_after_minutes, self.config.train.checkpoint_minutes)
        prepare_validation(self)
        self.loggers = open_loggers(self.run, self.step)
        self.feed = BatchFeed(self.data, self.config, self.share, self.device, self.step, self.batches_per_step)
        self.feed.waiting = self.clock.waiting

    def training_loop(self) -> None:
        """Train to ``train.steps``, or until the time is up."""
        train = self.config.train
        self.open_run()
        with self.clock.listening(), closing(self.run), closing(self.loggers):
            self.loggers.note(self.step, self.speedometer.forecast((train.steps - self.step) * self.images_per_step))
            while self.step < train.steps and not self.clock.stop_due(self.step):
                self.images_seen += self.images_per_step
                self.window.add(self.train_step(), self.step + 1)
                self.step += 1
                self.clock.count(self.images_per_step)
                self.loggers.note(self.step, self.clock.forecast(train.steps - self.step))
                if self.due(train.log_step):
                    self.log_losses()
                if self.due(train.val_step):
                    self.validate()
                if self.due(train.checkpoint_step) or self.clock.checkpoint_due(self.step):
                    self.save_checkpoint()
            saving.save_at_last(self)
        self.tell_the_end()

    def micro_batches(self, turn: int = 0) -> list[MicroBatch]:
        """Fetch a batch, cut into ``train.accumulate`` parts; ``turn``: which of the step's, in order."""
        return self.feed.micro_batches(self.step * self.batches_per_step + turn)

    @property
    def images_per_step(self) -> int:
        return self.share.batch_size * self.batches_per_step

    @property
    def progress(self) -> float:
        """The share of the run that is done, in [0, 1)."""
        return self.step / self.config.train.steps

    def due(self, interval: int) -> bool:
        return self.step % interval == 0 or self.step == self.config.train.steps

    def log_losses(self) -> None:
        readings = self.window.read()
        broken = complaints(readings, self.config.train.on_nonfinite)
        values = means(readings)
        for name, updater in self.updaters.items():
            values |= {f"loss_scale_{name}": updater.scaler.get_scale()} if updater.scaler.is_enabled() else {}
        self.loggers.scalars(self.step, values, self.speedometer.read(self.clock.lap()))
        self.loggers.alarms(self.step, broken + self.alarms.look(values))

    def validate(self) -> None:
        """Log what the family's validation sees; the networks in training are not touched."""
        figures: dict[str, float] = {}
        if distributed.is_main():
            with self.clock.aside("validation"):
                for name, picture in self.validation.pictures().items():
                    self.loggers.image(self.step, name, picture)
                distance = relative_distance(self.average, self.networks[self.averaged])
                figures = self.validation.figures() | {"val_ema_distance": distance}
                self.loggers.scalars(self.step, figures)
            self.loggers.alarms(self.step, self.alarms.look(figures))
            self.validation.warn(self.clock.share("validation"), self.config.train.val_step, self.say)
        if distributed.any_process(distributed.is_main() and self.best.is_better(figures), self.device):
            self.save_checkpoint(best=figures)  # which drops the one that was best before

    def save_checkpoint(self, best: dict[str, float] | None = None) -> None:
        """Write what the run needs to go on, unless it is there; what the disk refuses is tried again after a while.

        ``best``: the figures of the validation that found this step the best so far.
        """
        if self.step == self.saved_step:
            return
        complaints(self.window.look(), self.config.train.on_nonfinite)
        path = saving.save(self, best)
        self.clock.checkpoint_tried(written=path is not None)
        if path is not None:
            self.loggers.checkpoint(self.step, path)

    def tell_the_end(self) -> None:
        """Say how far the run is and where everything lies; after a signal, exit as its sender expects."""
        end = "finished" if self.step >= self.config.train.steps else "the same command goes on from here"
        self.say(f"step {self.step} of {self.config.train.steps}: {end}\nrun folder: {self.run.path}")
        self.clock.exit_if_asked()

    def setup_inference(self) -> None:
        """Open ``train.checkpoint_path`` and keep its averaged weights. Needs no data: the file knows the classes."""
        self.check_config()
        self.checkpoint = persistence.open_for_inference(self)
        self.make_networks(Facts(**self.checkpoint["facts"]))
        self.average = persistence.load_average(self)

    def inference(self) -> None:
        """Run ``inference.study`` on the checkpoint."""
        self.studies[self.config.inference.study]().run(self)
