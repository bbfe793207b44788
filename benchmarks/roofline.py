"""The speed that a network's own operations allow: no GPU is needed, only its two rates.

    python3 -m benchmarks.roofline config=configs/diffusion/food101_edm.yaml [key=value ...]

Each operation of a training step takes the larger of its arithmetic at tflops=790 and its memory traffic at gbps=4300
(an H200's, measured by matrix products and copies); batch=256 images, bytes=2 a number (bf16). Williams, Waterman,
Patterson 2009, "Roofline: An Insightful Visual Performance Model". Two sums are printed:

as written   every operation reads what it needs from memory and writes what it makes, as without a compiler
fused        what is done number by number (additions, activations, casts, copies) costs nothing: a compiler joins it
             to its neighbours; matrix products, convolutions, attention and norms are left

The optimizer and the average of the weights read and write 10 numbers of 4 bytes a parameter in either.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, shape_wrapper

from evaluation.tables import aligned
from training.check import count
from training.data import Facts
from training.launch import load_trainer
from training.speed import CPU_ATTENTION
from utils.batch import Condition
from utils.command import command_of
from utils.errors import ConfigError
from utils.schema import PositiveFloat, PositiveInt, section

aten = torch.ops.aten
OPTIMIZER_NUMBERS = 10  # Adam reads 4 and writes 3, the average reads 2 and writes 1
NORMS = {aten.native_group_norm, aten.native_group_norm_backward, aten.native_batch_norm,
         aten.native_batch_norm_backward, aten._softmax, aten._softmax_backward_data}  # fmt: skip
FORMULAS = flop_registry | {operation: shape_wrapper(formula) for operation, formula in CPU_ATTENTION.items()}
ALLOCATIONS = {aten.empty, aten.empty_like, aten.new_empty, aten.empty_strided, aten.new_empty_strided, aten.detach}
FREE = ALLOCATIONS | {aten._unsafe_view, aten.lift_fresh}


@section
class Settings:
    """What the command takes."""

    config: str
    batch: PositiveInt = 256
    tflops: PositiveFloat = 790.0
    gbps: PositiveFloat = 4300.0
    bytes: PositiveInt = 2
    set: list[str] = field(default_factory=list)  # further words, such as model_args.base_channels=128


@dataclass
class Cost:
    """What one kind of operation costs in a step, all its calls together."""

    calls: int = 0
    operations: float = 0.0
    bytes: float = 0.0
    seconds: float = 0.0  # each call's larger time, summed
    fuses: bool = False

    def add(self, operations: float, moved: float, seconds: float) -> None:
        self.calls += 1
        self.operations += operations
        self.bytes += moved
        self.seconds += seconds


class Roofline(TorchDispatchMode):
    """Adds up what the operations inside would cost; with tensors on the meta device nothing is computed."""

    def __init__(self, flops_per_second: float, bytes_per_second: float, bytes_per_number: int):
        super().__init__()
        self.flops_per_second, self.bytes_per_second = flops_per_second, bytes_per_second
        self.bytes_per_number = bytes_per_number
        self.costs: dict[str, Cost] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func.overloadpacket
        if packet not in FREE and not func.is_view:
            self.count(packet, args, kwargs, out)
        return out

    def count(self, packet: Any, args: Any, kwargs: Any, out: Any) -> None:
        formula = FORMULAS.get(packet)
        operations = formula(*args, **kwargs, out_val=out) if formula else 0
        numbers = sum(tensor.numel() for tensor in tensors((args, kwargs, out)))
        moved = numbers * self.bytes_per_number
        cost = self.costs.setdefault(packet.__name__, Cost(fuses=formula is None and packet not in NORMS))
        cost.add(operations, moved, max(operations / self.flops_per_second, moved / self.bytes_per_second))

    def seconds(self, fused: bool) -> float:
        return sum(cost.seconds for cost in self.costs.values() if not (fused and cost.fuses))

    @property
    def calls(self) -> int:
        return sum(cost.calls for cost in self.costs.values())

    @property
    def operations(self) -> float:
        return sum(cost.operations for cost in self.costs.values())


def tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


@command_of(Settings)
def main(settings: Settings) -> None:
    backbone = build_backbone(settings)
    mode = Roofline(settings.tflops * 1e12, settings.gbps * 1e9, settings.bytes)
    training_pass(backbone, settings.batch, mode)
    update = update_seconds(backbone, settings.gbps * 1e9)
    print(cost_table(mode))
    print(f"optimizer and average: {1e3 * update:.2f} ms for {count(backbone) / 1e6:.1f} M parameters")
    for name, fused in (("as written", False), ("fused", True)):
        seconds = mode.seconds(fused) + update
        rate = mode.operations / seconds / 1e12
        print(
            f"{name}: {1e3 * seconds:.1f} ms a step, {settings.batch / seconds:.0f} images/s, {rate:.0f} TFLOP/s, "
            f"{rate / settings.tflops:.0%} of {settings.tflops:.0f}"
        )


def build_backbone(settings: Settings) -> nn.Module:
    """Build the network of a diffusion config on the meta device; Food-101's classes, no data needed."""
    trainer = load_trainer([f"exp.config_path={settings.config}", *settings.set])
    if trainer.config.exp.model_type != "diffusion":
        raise ConfigError(f"config={settings.config}: the roofline is of a diffusion model's network")
    classes = tuple(f"class {label:03d}" for label in range(101)) if trainer.config.data.conditional else ()
    trainer.facts = Facts(trainer.config.data.image_size, 3, classes, bool(classes))
    return trainer.build_networks()["denoiser"].backbone.to("meta")


def training_pass(backbone: nn.Module, batch: int, mode: Roofline) -> None:
    """Run forward and backward under ``mode``."""
    size = 64
    x = torch.empty(batch, 3, size, size, device="meta")
    labels = torch.empty(batch, dtype=torch.int64, device="meta")
    with mode:
        backbone(x, torch.empty(batch, device="meta"), Condition(labels)).square().mean().backward()


def update_seconds(network: nn.Module, bytes_per_second: float) -> float:
    """Return what the optimizer and the average of the weights take."""
    return count(network) * OPTIMIZER_NUMBERS * 4 / bytes_per_second


def cost_table(mode: Roofline, shown: int = 12) -> str:
    """Lay out the kinds of operations that cost most."""
    rows = [["operation", "calls", "GFLOP", "GB", "ms", "FLOP a byte", ""]]
    for name, cost in sorted(mode.costs.items(), key=lambda item: -item[1].seconds)[:shown]:
        intensity = cost.operations / max(cost.bytes, 1)
        numbers = [cost.operations / 1e9, cost.bytes / 1e9, 1e3 * cost.seconds, intensity]
        texts = [f"{number:.4g}" for number in numbers]
        rows.append([name, str(cost.calls), *texts, "fuses" if cost.fuses else ""])
    return aligned(rows)


if __name__ == "__main__":
    main()
