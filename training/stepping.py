"""One step's images and random numbers, as slices of the global batch."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.augmentations import Augmentation, augmentations_registry
from datasets.loaders import Share, TrainingOrder, training_batches
from training.config import CommonConfig
from training.data import Data
from utils.batch import Batch, Condition
from utils.errors import ConfigError
from utils.images import to_float
from utils.schema import construct
from utils.seeding import derive_seed, generator_for


@dataclass(frozen=True)
class StepRng:
    """Random numbers of some rows of one global batch: a function of (seed, purpose, number of the batch, row).

    Each draw makes the numbers of the whole global batch and takes its rows, so every process and every micro-batch
    gets what a single one would.
    """

    seed: int
    step: int  # the number of the batch; the step's, unless a step takes several
    batch_size: int  # images in the global batch
    rows: slice
    device: torch.device

    def randn(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Draw standard normal numbers, float32 [N, *shape]."""
        return torch.randn((self.batch_size, *shape), generator=self.generator(purpose), device=self.device)[self.rows]

    def rand(self, purpose: str, shape: Sequence[int] = ()) -> Tensor:
        """Draw uniform numbers in [0, 1) for each image, float32 [N, *shape]."""
        return torch.rand((self.batch_size, *shape), generator=self.generator(purpose), device=self.device)[self.rows]

    def seed_layers(self, purpose: str) -> None:
        """Seed PyTorch's own generators, from which layers draw (dropout), for these rows."""
        torch.manual_seed(derive_seed(self.seed, "layers", purpose, self.step, self.rows.start))

    def generator(self, purpose: str) -> torch.Generator:
        return generator_for(self.seed, purpose, self.step, device=self.device)


@dataclass(frozen=True)
class MicroBatch:
    """What one forward and backward pass sees."""

    images: Tensor  # float32 [N, C, H, W] in [-1, 1], augmented
    cond: Condition
    rng: StepRng
    last: bool  # the last micro-batch of the step: gradients of all processes meet here

    def __len__(self) -> int:
        return len(self.images)


def micro_slices(share: Share, accumulate: int) -> list[slice]:
    """Cut one process's rows of the global batch into ``accumulate`` equal slices."""
    size = share.batch_size // share.world_size // accumulate
    start = share.rows.start
    return [slice(start + k * size, start + (k + 1) * size) for k in range(accumulate)]


def build_augmentations(config: CommonConfig) -> dict[str, Augmentation]:
    """Build ``data.augmentations`` by name, each with its ``augmentations_args``; :class:`ConfigError` if wrong."""
    for name in config.augmentations_args.keys() - set(config.data.augmentations):
        raise ConfigError(f"augmentations_args.{name} is set but data.augmentations does not name it: add it there")
    classes = {name: augmentations_registry.find(name, "data.augmentations") for name in config.data.augmentations}
    given = config.augmentations_args
    return {name: construct(cls, given.get(name, {}), f"augmentations_args.{name}") for name, cls in classes.items()}


class BatchFeed:
    """The training data of one process, batch by batch: fetched, cut into micro-batches, augmented on the device.

    A step takes ``per_step`` batches; batches are numbered through the run, and their random numbers go by the number.
    ``waiting`` is entered while data are waited for.
    """

    def __init__(
        self,
        data: Data,
        config: CommonConfig,
        share: Share,
        device: torch.device,
        first_step: int,
        per_step: int = 1,
        waiting: Callable[[], AbstractContextManager] = nullcontext,
    ):
        self.waiting = waiting
        self.seed, self.share, self.device = config.exp.seed, share, device
        self.conditional = data.facts.conditional
        self.augmentations = build_augmentations(config)
        self.slices = micro_slices(share, config.train.accumulate)
        order = TrainingOrder(len(data.train), share, self.seed, first_step * per_step, config.train.steps * per_step)
        self.batches = training_batches(data.train, order, config.data.workers, device)

    def micro_batches(self, number: int) -> list[MicroBatch]:
        """Fetch batch ``number`` of the run: called once for each, in order."""
        with self.waiting():
            batch = next(self.batches)
        return [self.micro_batch(batch, number, rows) for rows in self.slices]

    def micro_batch(self, batch: Batch, number: int, rows: slice) -> MicroBatch:
        rng = StepRng(self.seed, number, self.share.batch_size, rows, self.device)
        own = slice(rows.start - self.share.rows.start, rows.stop - self.share.rows.start)
        images = to_float(batch.images[own])
        for name, augment in self.augmentations.items():
            images = augment(images, rng.rand(name))
        labels = batch.labels[own] if self.conditional else None
        return MicroBatch(images, Condition(labels), rng, last=rows is self.slices[-1])
