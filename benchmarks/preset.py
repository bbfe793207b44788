"""Training of the main preset, as a run does it: operations a second, how much of the machine that is, waiting.

The machine's rates are measured here: large matrix products in bf16 (float32 on a CPU) and copies.
"""

import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch

from benchmarks.measuring import Place, Row, synchronize
from benchmarks.roofline import Roofline, training_pass, update_seconds
from benchmarks.stepping import experiment, run_steps
from training.trainers.base import BaseTrainer


def matmul_rate(place: Place) -> float:
    """Return the operations a second of a large matrix product, the best of some."""
    size, dtype = (8192, torch.bfloat16) if place.gpu else (1024, torch.float32)
    a, b = (torch.randn(size, size, device=place.device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / best_seconds(place, lambda: a @ b)


def copy_rate(place: Place) -> float:
    """Return the bytes a second of a large copy, read and written, the best of some."""
    source = torch.empty(2**30 if place.gpu else 2**26, dtype=torch.uint8, device=place.device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / best_seconds(place, lambda: target.copy_(source))


def best_seconds(place: Place, work: Callable[[], Any], calls: int = 10) -> float:
    seconds = []
    for _ in range(5):
        synchronize(place.device)
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        synchronize(place.device)
        seconds.append((time.perf_counter() - begin) / calls)
    return min(seconds)


def bound(trainer: BaseTrainer, place: Place, flops: float, bandwidth: float) -> float:
    """Return the images a second that the network's own operations allow, fused, at these rates."""
    network = deepcopy(trainer.average.backbone).to("meta").requires_grad_(True)
    mode = Roofline(flops, bandwidth, bytes_per_number=2 if place.gpu else 4)
    training_pass(network, trainer.images_per_step, mode)
    return trainer.images_per_step / (mode.seconds(fused=True) + update_seconds(network, bandwidth))


def measure(place: Place) -> list[Row]:
    steps = 100 if place.gpu else 4
    flops, bandwidth = matmul_rate(place), copy_rate(place)
    with place.folder() as folder:
        trainer = experiment(place, folder)
        run_steps(trainer, 5)
        laps = []
        for _ in range(place.rounds):
            trainer.clock.lap()
            laps.append(run_steps(trainer, steps))
        told = {name: statistics.median(lap[name] for lap in laps) for name in laps[0]}
        limit = bound(trainer, place, flops, bandwidth)
    rate = told["tflops"] * 1e12
    what = "training, main preset" if place.gpu else "training, a small U-Net"
    return [
        Row(what, "images a second", speeds={"": told["images_per_second"]}, unit="images/s"),
        Row(what, "operations a second", speeds={"": told["tflops"]}, unit="TFLOP/s"),
        Row(what, "trainer", "matrix products", rate / flops, speeds={"": flops / 1e12}, unit="TFLOP/s", goal="0.30"),
        Row(what, "trainer", "its roofline", told["images_per_second"] / limit, speeds={"": limit}, unit="images/s",
            goal="0.70"),
        Row(what, "copies", speeds={"": bandwidth / 1e9}, unit="GB/s"),
        Row(what, "waiting for data", speeds={"": 100 * told["share_waiting_for_data"]}, unit="%", goal="1 %"),
        Row(what, "peak memory", speeds={"": told["peak_memory_gib"]}, unit="GiB"),
    ]  # fmt: skip
