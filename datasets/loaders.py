"""Batches for training and for judging.

Which image stands where in the run is a function of (seed, position), so a run that resumes at step s simply starts
there, and processes take their rows of the same global batch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from utils.batch import Batch, map_tensors, to_device
from utils.errors import UserError
from utils.seeding import generator_for


@dataclass(frozen=True)
class Share:
    """The rows of the global batch that one process takes."""

    batch_size: int  # images in the global batch
    rank: int = 0
    world_size: int = 1

    @property
    def rows(self) -> slice:
        size = self.batch_size // self.world_size
        return slice(self.rank * size, (self.rank + 1) * size)


class TrainingOrder:
    """The image indices of every step: each epoch a new permutation, batches running on across its end."""

    def __init__(self, length: int, share: Share, seed: int, first_step: int, steps: int):
        self.length, self.share, self.seed = length, share, seed
        self.first_step, self.steps = first_step, steps
        self.epoch = -1

    def __len__(self) -> int:
        return self.steps - self.first_step

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first_step, self.steps):
            start = step * self.share.batch_size
            rows = range(start, start + self.share.batch_size)[self.share.rows]
            yield [self.image_at(position) for position in rows]

    def image_at(self, position: int) -> int:
        epoch, place = divmod(position, self.length)
        if epoch != self.epoch:
            self.epoch = epoch
            self.permutation = torch.randperm(self.length, generator=generator_for(self.seed, "order", epoch)).tolist()
        return self.permutation[place]


def training_batches(dataset: Dataset, order: TrainingOrder, workers: int, device: torch.device) -> Iterator[Batch]:
    """Yield this process's batches of uint8 images on ``device``, one a step, from a folder, a pack or GPU memory."""
    pixels = resident_pixels(dataset, device)
    if pixels is not None:
        return resident_batches(dataset, pixels, order)
    loader = DataLoader(
        dataset,
        batch_sampler=order,
        collate_fn=as_it_is,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),
    )
    batches = plain_errors(loader) if workers else loader
    return copied_ahead(batches, device) if device.type == "cuda" else iter(batches)


def copied_ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Hand batches on, on the device; while one is worked on the next is copied, by a stream of its own.

    From pinned memory the copy makes nobody wait: neither this process nor what the GPU is doing.
    """
    backend = getattr(torch, device.type)  # torch.cuda; torch.cpu has the same names
    stream = backend.Stream()

    def begin(batch: Batch) -> Batch:
        with backend.stream(stream):
            return to_device(batch, device)

    copies = map(begin, batches)
    following = next(copies, None)
    while following is not None:
        ready, now = following, backend.current_stream()
        now.wait_stream(stream)
        if device.type == "cuda":
            map_tensors(ready, lambda tensor: tensor.record_stream(now))  # noqa: B023 - called at once
        following = next(copies, None)
        yield ready


def plain_errors(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Hand batches on; an error in a worker, which PyTorch wraps in its traceback, becomes its own one line again."""
    try:
        yield from batches
    except UserError as error:
        raise type(error)(str(error).strip().splitlines()[-1].partition("Error: ")[2]) from None


def resident_pixels(dataset: Dataset, device: torch.device) -> Tensor | None:
    """Copy a dataset that lies in one array to the GPU, if it takes at most a quarter of the free memory."""
    if device.type != "cuda" or not hasattr(dataset, "pixels"):
        return None
    channels, height, width = dataset.image_shape
    if len(dataset) * channels * height * width > torch.cuda.mem_get_info(device)[0] / 4:
        return None
    return dataset.pixels().to(device)


def resident_batches(dataset: Dataset, pixels: Tensor, order: TrainingOrder) -> Iterator[Batch]:
    """Gather batches on the device that holds the pixels."""
    labels = None if dataset.labels is None else torch.as_tensor(dataset.labels, device=pixels.device)
    for indices in order:
        rows = torch.tensor(indices).to(pixels.device, non_blocking=True)
        yield Batch(pixels[rows], None if labels is None else labels[rows])


def as_it_is(batch: Batch) -> Batch:
    """Datasets give whole batches, so there is nothing left to collate."""
    return batch
