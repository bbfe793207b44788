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

Costs = dict[str, tuple[int, int]]  # by network: operations, bytes
ADAM_COPIES = 4  # float32 weights, gradients and Adam's two moments
PASSES_KEPT = {"discriminator": 2}  # it sees real and generated images before it goes back


def print_check(trainer: BaseTrainer) -> None:
    """Print parameters, operations an image, an estimate of memory, data, and destinations."""
    costs = costs_of_an_image(trainer)
    for name, (operations, _) in costs.items():
        parameters = count(trainer.networks[name]) / 1e6
        trainer.say(f"{name}: {parameters:.2f} M parameters, {operations / 1e9:.3g} GFLOP an image forward")
    dev = 0 if trainer.data.dev is None else len(trainer.data.dev)
    memory, micro = estimated_memory(trainer, costs) / GIB, micro_batch(trainer)
    trainer.say(f"memory: about {memory:.2f} GiB for batches of {micro} in {trainer.precision} (weights, activations)")
    trainer.say(f"data: {len(trainer.data.train)} training images, {dev} held out, {trainer.facts.num_classes} classes")
    trainer.say(f"steps: {trainer.config.train.steps} of {trainer.share.batch_size} images on {trainer.device}")
    trainer.say(f"logs: {', '.join(destinations(trainer))}")
    trainer.say("exp.check: everything fits together; nothing was written")


def costs_of_an_image(trainer: BaseTrainer) -> Costs:
    """Return, by network, an image's operations forward and the bytes kept of it for the backward pass."""
    few, more, costs = trainer.example_passes(batch_size=1), trainer.example_passes(batch_size=2), {}
    for name, network in ((name, trainer.networks[name]) for name in few):
        with trainer.precision.autocast():
            costs[name] = tuple(b - a for a, b in zip(measure(few[name], network), measure(more[name], network)))
    return costs


def estimated_memory(trainer: BaseTrainer, costs: Costs | None = None) -> float:
    """Return about how many bytes training takes: weights, gradients, moments, one average, activations."""
    costs = costs_of_an_image(trainer) if costs is None else costs
    memory = weight_bytes(trainer.networks[trainer.averaged])
    for name, (_, kept) in costs.items():
        memory += weight_bytes(trainer.networks[name]) * ADAM_COPIES
        memory += kept * micro_batch(trainer) * PASSES_KEPT.get(name, 1)
    return memory


def micro_batch(trainer: BaseTrainer) -> int:
    return trainer.share.batch_size // trainer.share.world_size // trainer.config.train.accumulate


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
