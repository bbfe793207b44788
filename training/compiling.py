"""What makes a step faster, or smaller, without changing what it computes: compiling, tuned kernels, recomputing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from utils.cache import cache_dir
from utils.errors import ConfigError

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer


def prepare_device(trainer: BaseTrainer) -> None:
    """Make the networks in training ready for the device, as the config asks."""
    train = trainer.config.train
    torch.backends.cudnn.benchmark = True  # a run has one shape of batch: the fastest kernel is looked for once
    if train.channels_last:
        channels_last_in_place(trainer.networks)
    if train.recompute:
        recompute_in_place(trainer.networks)
    for line in compile_in_place(trainer.modules_to_compile(), train.compile, trainer.device):
        trainer.say(line)


def channels_last_in_place(networks: dict[str, nn.Module]) -> None:
    """Let convolutions see, and so give, images whose channels lie side by side: what tensor cores read.

    Only what passes through is laid out so. Weights, moments and averages stay as they are, in memory and in files; a
    convolution lays its weights out in each pass, which is little beside the images. The results are the same but for
    rounding, and for dropout, which draws in the order of memory.
    """
    for module in (module for network in networks.values() for module in network.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_pre_hook(laid_out)


def laid_out(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the images [N, C, H, W] with their channels last in memory; as they are where they lie so already."""
    images, *others = inputs
    return images.contiguous(memory_format=torch.channels_last), *others


def recompute_in_place(networks: dict[str, nn.Module]) -> None:
    """Let blocks forget their activations and compute them again in the backward pass: less memory, more time.

    A block takes part by an attribute ``recompute``, false until here. Raises :class:`ConfigError` where there is none.
    """
    blocks = [module for network in networks.values() for module in network.modules() if hasattr(module, "recompute")]
    if not blocks:
        raise ConfigError("train.recompute is set, but these networks have no blocks that can: use train.accumulate=2")
    for block in blocks:
        block.recompute = True


def missing_compiler(device: torch.device) -> str | None:
    """Say what is missing for compiling on this device, or None."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++", "cl")):
        return "a C++ compiler"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "Python.h (the package python3-dev)"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "Triton"
    return None


def compile_in_place(modules: dict[str, nn.Module], mode: str, device: torch.device) -> list[str]:
    """Compile modules without renaming their weights. ``mode`` is ``train.compile``; auto: on a GPU only.

    ``graphs``: a GPU plays the compiled kernels from a recording (CUDA graphs), without a word from the CPU for each.

    What the compiler makes is kept in the cache folder for the next run, unless the user has named another place
    (``TORCHINDUCTOR_CACHE_DIR``; PyTorch's own default is a folder that goes with the next reboot).
    Returns lines to print.
    """
    if mode == "off" or (mode == "auto" and device.type != "cuda"):
        return []
    missing = missing_compiler(device)
    if missing:
        return [f"train.compile: {missing} is not here, so networks run without compiling"]
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir() / "compiled"))
    for module in modules.values():
        module.compile(mode="reduce-overhead" if mode == "graphs" else None)
    return [f"compiling: {', '.join(modules)} (the first step takes longer)"]
