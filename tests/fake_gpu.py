"""A trainer on a GPU that is not there: PyTorch's fake tensors have a device and a shape, and nothing in them.

What they show without a GPU: a tensor left on the CPU is an error where it meets one on the GPU, and so is every wait
for the GPU, because a number that does not exist cannot be read. What they cannot show: results, speed, and the
backward pass, whose engine asks the driver for the device; here it leaves empty gradients.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pytest import MonkeyPatch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import training.stepping
from datasets.loaders import TrainingOrder, resident_batches
from training.precision import Precision
from training.stepping import BatchFeed
from training.trainers.base import BaseTrainer

GPU = torch.device("cuda", 0)


class NothingComesBack(TorchDispatchMode):
    """Refuses copies from the GPU to the CPU: each waits for the GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given, made = [arg for arg in args if isinstance(arg, Tensor)], func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.device.type == "cpu":
            assert all(tensor.device.type == "cpu" for tensor in given), f"{func} copies from the GPU"
        return made


@contextmanager
def on_fake_gpu(trainer: BaseTrainer, precision: torch.dtype | None = torch.bfloat16) -> Iterator[None]:
    """Put a trainer that was set up on the CPU on a fake GPU, its data resident there, for as long as this lasts."""
    order = list(TrainingOrder(len(trainer.data.train), trainer.share, 0, 0, 40))
    shape = (len(trainer.data.train), *trainer.data.train.image_shape)
    with MonkeyPatch.context() as patch, FakeTensorMode(allow_non_fake_inputs=True):
        stand_in_for_the_driver(patch, trainer)
        trainer.device, trainer.precision = GPU, Precision("cuda", precision)
        modules = {id(module): module for module in vars_of_modules(trainer)}
        for module in modules.values():
            move(module)
        trainer.updaters = {name: trainer.build_updater(name) for name in trainer.networks}
        patch.setattr(training.stepping, "training_batches", lambda *_: iter(()))
        trainer.feed = BatchFeed(trainer.data, trainer.config, trainer.share, GPU, 0, trainer.batches_per_step)
        trainer.feed.batches = resident_batches(
            trainer.data.train, torch.empty(shape, dtype=torch.uint8, device=GPU), order
        )
        yield


def vars_of_modules(trainer: BaseTrainer) -> list[nn.Module]:
    """Return every module that a step or a sample touches."""
    extra = [value for value in vars(trainer).values() if isinstance(value, nn.Module)]
    averages = [trainer.ema.module, *trainer.ema.others().values(), *trainer.ema.snapshots().values()]
    return [*trainer.networks.values(), *averages, *extra]


def move(module: nn.Module) -> None:
    """Replace weights and buffers by fake ones; ``Module.to`` cannot, it swaps tensors in place."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None and weight.device.type == "cpu":
                part._parameters[name] = nn.Parameter(torch.empty_like(weight, device=GPU), weight.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = torch.empty_like(buffer, device=GPU)


def stand_in_for_the_driver(patch: MonkeyPatch, trainer: BaseTrainer) -> None:
    """Replace what asks the driver: the backward pass, random generators, and the question whether there is a GPU."""

    def backward(*_, **__) -> None:
        for weight in (weight for network in trainer.networks.values() for weight in network.parameters()):
            weight.grad = torch.empty_like(weight) if weight.requires_grad else None

    def gradients(outputs, inputs, *_, **__) -> tuple[Tensor, ...]:
        inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        return tuple(torch.empty_like(tensor, requires_grad=True) for tensor in inputs)

    patch.setattr(torch.autograd, "backward", backward)
    patch.setattr(torch.autograd, "grad", gradients)
    patch.setattr(training.stepping, "generator_for", lambda *_, **__: None)
    patch.setattr("torch.amp.autocast_mode.torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    patch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    patch.setattr(torch, "_fused_sgd_", lambda *_, **__: None)  # fake tensors know the fused kernels of Adam only
