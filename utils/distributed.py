"""Several processes through ``torchrun``; everything here also works, and does nothing, for a single one."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
from torch import Tensor, distributed
from tqdm import tqdm

from utils.errors import ConfigError
from utils.failures import told_to_the_others

PATIENCE = timedelta(hours=2)  # the first process packs, downloads and validates while the others wait


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_main() -> bool:
    """Tell whether this process is the one that writes files and talks."""
    return rank() == 0


def say(line: str) -> None:
    """Print a line, once however many processes there are; to nobody, if the terminal or the reader has gone.

    A progress bar that is shown makes room: the line stands above it.
    """
    if is_main():
        with suppress(OSError):
            tqdm.write(line)
            sys.stdout.flush()


def barrier() -> None:
    if distributed.is_initialized():
        distributed.barrier()


@contextmanager
def main_first() -> Iterator[None]:
    """Let the first process go through the block before the others enter it."""
    if not is_main():
        barrier()
    yield
    if is_main():
        barrier()


def mean_over_processes(tensor: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes; the tensor itself for a single one."""
    if world_size() == 1:
        return tensor
    total = tensor.clone()
    distributed.all_reduce(total)
    return total / world_size()


def gather_rows(tensor: Tensor) -> Tensor:
    """Return the rows of all processes' tensors [n, ...], in the order of the processes: [n * world_size, ...]."""
    if world_size() == 1:
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(world_size())]
    distributed.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def first_over_processes(tensor: Tensor) -> Tensor:
    """Return the smallest values of any process."""
    if world_size() == 1:
        return tensor
    least = tensor.clone()
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return least


def any_process(flag: bool, device: torch.device) -> bool:
    """Tell whether the flag is set anywhere, so that all processes decide alike."""
    if world_size() == 1:
        return flag
    value = torch.tensor(float(flag), device=device)
    distributed.all_reduce(value, distributed.ReduceOp.MAX)
    return bool(value.item())


def same_everywhere(number: int, device: torch.device) -> bool:
    """Tell whether all processes hold the same number."""
    if world_size() == 1:
        return True
    ends = torch.tensor([number, -number], device=device)
    distributed.all_reduce(ends, distributed.ReduceOp.MAX)
    return bool(ends.sum() == 0)


def choose_device(name: str, key: str = "exp.device") -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` into a device; under torchrun a process takes its own GPU.

    ``key`` is what the command calls the setting. Raises :class:`ConfigError` for a word that is no device or a device
    that is not here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"{key}={name} is not a device: use auto, cpu, cuda or cuda:0") from None
    if device.type == "cuda":
        return choose_gpu(device, key)
    if device.type != "cpu":
        raise ConfigError(f"{key}={name} is not supported: use {key}=cpu, cuda or cuda:0")
    return device


def choose_gpu(device: torch.device, key: str) -> torch.device:
    if not torch.cuda.is_available():
        raise ConfigError(f"{key}={device}: PyTorch sees no GPU here; use {key}=cpu")
    index = int(os.environ.get("LOCAL_RANK", 0)) if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise ConfigError(f"{key}={device}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def started_by_torchrun() -> bool:
    return distributed.is_torchelastic_launched()


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Join the other processes when ``torchrun`` started this one, and leave them at the end.

    Raises ``PeerError`` when one of them has gone.
    """
    if not started_by_torchrun():
        yield
        return
    if device.type == "cuda":
        distributed.init_process_group("nccl", timeout=PATIENCE, device_id=device)
    else:
        distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        with told_to_the_others():
            yield
            barrier()  # leave together: the first process may still be writing
    finally:
        distributed.destroy_process_group()
