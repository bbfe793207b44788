"""One Updater a network: optimizer, precision, accumulation, clipping; gradients averaged over processes.

A step whose loss or gradients are not finite changes nothing: the device itself leaves it out, nobody waits.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.optimizers import Annealed
from training.precision import Precision
from training.schedules import Schedule
from utils.distributed import world_size
from utils.errors import ConfigError


class Updater:
    """Turns losses into steps of one network.

    ``wrapped`` is what the player that learns calls: it averages gradients over processes. ``network`` is the bare
    module, for everybody else. A GAN has two Updaters, a diffusion model one, a frozen teacher none.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        precision: Precision,
        accumulate: int = 1,
        max_grad_norm: float | None = None,
    ):
        self.network, self.optimizer, self.schedule, self.precision = network, optimizer, schedule, precision
        self.accumulate, self.max_grad_norm = accumulate, max_grad_norm
        self.scaler = precision.scaler()
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self.wrapped = averaging(network)
        self.statistics = Statistics(network)

    @contextmanager
    def micro_step(self, last: bool) -> Iterator[None]:
        """Run one micro-batch's forward pass in the right precision; gradients are averaged only on the last."""
        quiet = isinstance(self.wrapped, DistributedDataParallel) and not last
        with self.wrapped.no_sync() if quiet else nullcontext(), self.precision.autocast():
            yield

    def backward(self, loss: Tensor) -> None:
        """Add one micro-batch's gradients: the mean over micro-batches, scaled for fp16.

        A loss that is not finite makes its gradients so too, whatever its derivative, and the averaging of gradients
        tells all processes: one sign is enough for :meth:`step`.
        """
        void = (loss - loss).detach()  # 0; nan where the loss is infinite or nan
        self.scaler.scale(loss * (1 + void) / self.accumulate).backward()

    def step(self, progress: float) -> dict[str, Tensor]:
        """Clip, set the learning rate for ``progress`` in [0, 1], step, and clear the gradients.

        Where the gradients are not finite the step is left out: weights, moments and running statistics stay.
        Returns the gradients' norm before clipping, which says so. Not under fp16, where it is infinite whenever the
        scaler tries a scale that is too large.
        """
        for group, rate in zip(self.optimizer.param_groups, self.base_rates):
            group["lr"] = rate * self.schedule(progress)
        if isinstance(self.optimizer, Annealed):
            self.optimizer.anneal(progress)
        self.scaler.unscale_(self.optimizer)
        norm = self.clip()
        step_unless(~norm.isfinite(), self.optimizer)
        self.statistics.mend()
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return {} if self.scaler.is_enabled() else {"grad_norm": norm}

    def clip(self) -> Tensor:
        """Clip the gradients where a limit is set. Returns their norm before, [], not finite if any of them is not."""
        parameters = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters])
        if self.max_grad_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.max_grad_norm, norm)
        return norm

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave; the optimizer's settings stay what the config says.

        Raises ``ValueError`` when the state is of other parameters.
        """
        saved, own = state["optimizer"], self.optimizer.state_dict()["param_groups"]
        # PyTorch places its step counters by the settings it loads, so the own ones must be in there beforehand.
        groups = [{**mine, "params": theirs["params"]} for mine, theirs in zip(own, saved["param_groups"])]
        self.optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})
        if state["scaler"] and self.scaler.is_enabled():  # empty from a run that needed none
            self.scaler.load_state_dict(state["scaler"])
        self.statistics.keep()


def step_unless(void: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Take the optimizer's step unless ``void``, bool [], is true.

    Fused kernels look at ``found_inf`` on the device, as PyTorch's GradScaler has them do. For other optimizers the
    answer is fetched: free on the CPU, a wait for the GPU.
    """
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = void.float()
        optimizer.step()
    elif not void.item():
        optimizer.step()


class Statistics:
    """Running statistics (batch norm's), which a forward pass changes whatever becomes of the step."""

    def __init__(self, network: nn.Module):
        self.buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        self.keep()

    def keep(self) -> None:
        """Remember them as they are."""
        self.kept = self.joined() if self.buffers else None

    def joined(self) -> Tensor:
        """Return a copy of all of them in one row: a few kernels for them all, not a few for each."""
        return torch.cat([buffer.reshape(-1) for buffer in self.buffers])

    @torch.no_grad()
    def mend(self) -> None:
        """Put back every number that is not finite as it was after the step before."""
        if self.buffers:
            now = self.joined()
            self.kept = torch.where(now.isfinite(), now, self.kept)
            pieces = self.kept.split([buffer.numel() for buffer in self.buffers])
            torch._foreach_copy_(self.buffers, [piece.view_as(it) for piece, it in zip(pieces, self.buffers)])


def freeze(networks: dict[str, nn.Module], prefixes: list[str]) -> None:
    """Stop training the parameters whose names, ``<network>.<parameter>``, begin with one of ``train.freeze``.

    Raises :class:`ConfigError` for a prefix that fits no parameter, or when a network has nothing left to train.
    """
    named = [(f"{key}.{name}", p) for key, network in networks.items() for name, p in network.named_parameters()]
    for prefix in prefixes:
        chosen = [parameter for name, parameter in named if name.startswith(prefix)]
        if not chosen:
            raise ConfigError(f"train.freeze: no parameter's name begins with '{prefix}', the first is '{named[0][0]}'")
        for parameter in chosen:
            parameter.requires_grad_(False)
    for name, network in networks.items():
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ConfigError(f"train.freeze leaves nothing to train in the {name}: freeze less of it")


def trainable(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def placed(networks: dict[str, nn.Module], device: torch.device, penalised: Collection[str]) -> dict[str, nn.Module]:
    """Put networks on the device, batch norm over all processes where PyTorch can: on CUDA, in those not penalised."""
    if world_size() > 1 and device.type == "cuda":
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
        networks = {name: net if name in penalised else convert(net) for name, net in networks.items()}
    return {name: network.to(device) for name, network in networks.items()}


def averaging(network: nn.Module) -> nn.Module:
    """Wrap a network in PyTorch's DistributedDataParallel when there are several processes.

    Buffers are not broadcast: batch statistics are synchronised by SyncBatchNorm on CUDA, and a broadcast between two
    forward passes would change tensors that the backward pass still needs.
    """
    if world_size() == 1:
        return network
    device = next(network.parameters()).device
    if device.type == "cuda":
        return DistributedDataParallel(network, device_ids=[device.index], broadcast_buffers=False)
    return DistributedDataParallel(network, broadcast_buffers=False)
