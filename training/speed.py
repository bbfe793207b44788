"""How much of the machine a run uses: operations a second, their share of the GPU's peak, memory."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from utils.distributed import world_size

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer

GIB = 1024**3
# Dense matrix products of half-precision numbers, summed in float32 as PyTorch does, in TFLOP/s. Data sheets of NVIDIA;
# for GeForce the white papers of GA102 and Ada: tensor cores x boost clock x 128, half of the figure for sums in fp16.
PEAK_TFLOPS = {
    "H200": 989.4, "H100 PCIe": 756.0, "H100 NVL": 835.5, "H100 80GB HBM3": 989.4, "A100": 312.0, "L40S": 362.0,
    "L4": 121.0, "T4": 65.0, "V100-SXM2": 125.0,
    "RTX 4090": 165.2, "RTX 4080": 97.5, "RTX 4070 Ti": 80.2, "RTX 4070": 58.3, "RTX 4060": 30.2,
    "RTX 3090 Ti": 80.0, "RTX 3090": 71.2, "RTX 3080": 59.5, "RTX 3070": 40.6, "RTX 3060 Ti": 32.4, "RTX 3060": 25.5,
}  # fmt: skip
LIKELY_SHARE = 0.25  # of the peak, before anything is measured: published loops reach 0.15, the goal here is 0.30
OTHER_CHIP = r"(?! ?(Ti|SUPER|D|Laptop|Max-Q)\b)"  # what follows the name of another card


def peak_tflops(device_name: str, dtype: torch.dtype | None) -> float | None:
    """Return the peak rate of a GPU in a half-precision type; None for other types, and for a GPU not in the table."""
    known = [name for name in PEAK_TFLOPS if re.search(rf"\b{name}\b{OTHER_CHIP}", device_name)]
    return PEAK_TFLOPS[known[0]] if known and dtype is not None else None


@contextmanager
def looking(networks: dict[str, nn.Module]) -> Iterator[None]:
    """Run networks without a trace: no statistics move, nothing is compiled for the sake of a look."""
    training = {name: network.training for name, network in networks.items()}
    try:
        for network in networks.values():
            network.eval()
        with torch.compiler.set_stance("force_eager"):  # with gradients: PyTorch's counter fails without, on a StyleGAN
            yield
    finally:
        for name, network in networks.items():
            network.train(training[name])


def count_operations(run: Callable[[], Any]) -> int:
    """Return the floating-point operations of a pass: matrix products and convolutions, a product and a sum are two."""
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
        run()
    return counter.get_total_flops()


def attention_operations(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Count from the shapes of queries, keys and values, which is what the counter gives."""
    return sdpa_flop_count(query, key, value)


def attention_operations_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


# The attention that PyTorch's counter forgets, by its operation.
CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_operations,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_operations_backward,
}


def operations_per_image(trainer: BaseTrainer) -> float:
    """Return what training on one image costs, from the networks as they are.

    A backward pass costs two forward ones; the players of a GAN take turns. Recomputed activations and penalties
    are left out: these are the operations that the model asks for (Chowdhery et al. 2022, "PaLM", appendix B).
    """
    with looking(trainer.networks), trainer.precision.autocast():
        forward = {name: count_operations(run) / 2 for name, run in trainer.example_passes(batch_size=2).items()}
    passes = passes_per_image(trainer.batches_per_step)
    return sum(operations * passes.get(name, 3) for name, operations in forward.items())


def passes_per_image(disc_steps: int) -> dict[str, float]:
    """Return what a training image costs a GAN, in forward passes of each player.

    The discriminator's move: D both ways on a real and a generated image. The generator's, once in ``disc_steps``
    images: G both ways, D forward and back to its input.
    """
    return {"generator": 1 + 3 / disc_steps, "discriminator": 2 * 3 + 2 / disc_steps}


@dataclass(frozen=True)
class Speedometer:
    """Puts images a second into the terms of the machine."""

    operations: float  # of one training image
    device: torch.device
    peak: float | None = None  # TFLOP/s of all processes' GPUs

    @classmethod
    def of(cls, trainer: BaseTrainer) -> Speedometer:
        device = trainer.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        peak = peak_tflops(name, trainer.precision.dtype)
        return cls(operations_per_image(trainer), device, None if peak is None else peak * world_size())

    def forecast(self, images: int) -> str | None:
        """Return, before the first step, how long so many images may take; None where the GPU is not known."""
        if self.peak is None:
            return None
        time = timedelta(seconds=round(images * self.operations / (self.peak * 1e12 * LIKELY_SHARE)))
        return f"about {time} to the end if {LIKELY_SHARE:.0%} of the GPU's peak is reached; measured after ten steps"

    def read(self, lap: dict[str, float]) -> dict[str, float]:
        """Add to a lap ``tflops``, ``share_of_peak`` where the GPU is known, and a process's highest memory so far."""
        tflops = lap["images_per_second"] * self.operations / 1e12
        share = {} if self.peak is None else {"share_of_peak": tflops / self.peak}
        return {**lap, "tflops": tflops, **share, "peak_memory_gib": peak_memory(self.device) / GIB}


def peak_memory(device: torch.device) -> int:
    """Return the most bytes this process has had: of the GPU's memory, or of the machine's when it trains there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
