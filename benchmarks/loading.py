"""Images a second from a folder of PNGs to float batches: this project's feed against torchvision's.

Both give the batches of the same shuffled indices as float32 in [-1, 1] on the CPU (a test holds that they are equal).
Ours is packed once beforehand, as in training; torchvision decodes in two workers. Two rows: by the clock, where on a
busy machine three processes get more of it than one; and in processor time, where torchvision's one process counts
double, as if two workers had nothing to tell each other.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import count
from multiprocessing import get_context

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.measuring import Place, Row, compared
from datasets.loaders import Share, TrainingOrder, training_batches
from datasets.packed import Packed
from utils.images import to_float

BATCH, BATCHES = 256, 24  # images; batches a round
SIZE = 64  # pixels
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def our_batches(dataset: Packed, batches: int, seed: int, batch_size: int = BATCH) -> Iterator[Tensor]:
    """Yield float batches [N, 3, H, W] as training sees them, before augmentation."""
    order = TrainingOrder(len(dataset), Share(batch_size), seed, first_step=0, steps=batches)
    return (to_float(batch.images) for batch in training_batches(dataset, order, 0, torch.device("cpu")))


def torchvision_batches(
    folder: str, length: int, batches: int, seed: int, workers: int = 2, batch_size: int = BATCH
) -> Iterator[Tensor]:
    """Yield the batches of the same indices by ``ImageFolder`` and ``DataLoader``."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    order = TrainingOrder(length, Share(batch_size), seed, first_step=0, steps=batches)
    dataset = ImageFolder(folder, transforms.Compose(steps))
    return (images for images, _ in DataLoader(dataset, batch_sampler=order, num_workers=workers))


def speed(batches: Iterator[Tensor], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return images a second, without the first batch: it takes the start of the workers."""
    next(batches)
    begin = clock()
    images = sum(len(batch) for batch in batches)
    return images / (clock() - begin)


def our_speed(folder: str, cache: str, clock: str, seed: int) -> float:
    return speed(our_batches(Packed(folder, SIZE, cache_dir=cache), BATCHES, seed), CLOCKS[clock])


def their_speed(folder: str, length: int, workers: int, clock: str, seed: int) -> float:
    batches = BATCHES if workers else BATCHES // 4
    return speed(torchvision_batches(folder, length, batches, seed, workers), CLOCKS[clock])


def measure(place: Place) -> list[Row]:
    with ExitStack() as stack:
        folder, cache = str(place.images), place.packs
        length, ours, theirs = len(Packed(folder, SIZE, cache_dir=cache)), own_process(stack), own_process(stack)
        by_clock = {
            "packed": lambda: ours(our_speed, folder, cache, "wall"),
            "torchvision ImageFolder, 2 workers": lambda: theirs(their_speed, folder, length, 2, "wall"),
        }
        by_work = {
            "packed": lambda: ours(our_speed, folder, cache, "processor"),
            "torchvision ImageFolder, one process, twice": lambda: (
                2 * theirs(their_speed, folder, length, 0, "processor")
            ),
        }
        return [
            *compared("data, by the clock", by_clock, place.rounds, "images/s", "10"),
            *compared("data, processor time", by_work, place.rounds, "images/s", "10"),
        ]


def own_process(stack: ExitStack) -> Callable[..., float]:
    """Return what calls a function, with a new seed as its last argument, in a process that does nothing else.

    In one process one side would leave the other a torn heap: ours is half as fast after torchvision's.
    """
    pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
    seeds = count()
    return lambda function, *arguments: pool.submit(function, *arguments, next(seeds)).result()
