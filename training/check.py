"""What ``exp.check=True`` prints: what a run will cost and where its records will go, without taking a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from training.speed import GIB, count_operations

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer

ADAM_COPIES = 4  # float32 weights, gradients and Adam's two moments


def print_check(trainer: BaseTrainer) -> None:
    """Print parameters, operations an image, an estimate of memory, data, and destinations."""
    micro = trainer.share.batch_size // trainer.share.world_size // trainer.config.train.accumulate
    memory = 0.0
    few, more = trainer.example_passes(batch_size=1), trainer.example_passes(batch_size=2)
    for name, network in ((name, trainer.networks[name]) for name in few):
        with trainer.precision.autocast():
            operations, saved = (b - a for a, b in zip(measure(few[name], network), measure(more[name], network)))
        memory += weight_bytes(network) * ADAM_COPIES + saved * micro  # the difference is that of one image
        trainer.say(f"{name}: {count(network) / 1e6:.2f} M parameters, {operations / 1e9:.3g} GFLOP an image forward")
    memory += weight_bytes(trainer.ema.module)
    dev = 0 if trainer.data.dev is None else len(trainer.data.dev)
    trainer.say(
        f"memory: about {memory / GIB:.2f} GiB for batches of {micro} in {trainer.precision} (weights, activations)"
    )
    trainer.say(f"data: {len(trainer.data.train)} training images, {dev} held out, {trainer.facts.num_classes} classes")
    trainer.say(f"steps: {trainer.config.train.steps} of {trainer.share.batch_size} images on {trainer.device}")
    trainer.say(f"logs: {', '.join(destinations(trainer))}")
    trainer.say("exp.check: everything fits together; nothing was written")


def measure(run: Callable[[], Any], network: nn.Module) -> tuple[int, int]:
    """Return the floating-point operations of a pass, and the bytes that it keeps for the backward pass."""
    seen: dict[int, int] = {}
    weights = {parameter.data_ptr() for parameter in network.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            seen[tensor.data_ptr()] = max(seen.get(tensor.data_ptr(), 0), tensor.untyped_storage().nbytes())
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        operations = count_operations(run)
    return operations, sum(seen.values())


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def weight_bytes(network: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())


def destinations(trainer: BaseTrainer) -> list[str]:
    exp = trainer.config.exp
    places = [f"{trainer.run.path}/metrics.jsonl"]
    if exp.use_wandb:
        places.append(f"W&B project {exp.wandb_project} ({exp.wandb_mode})")
    if exp.use_tensorboard:
        places.append(f"{trainer.run.path}/tensorboard")
    return places
