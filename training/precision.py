"""Mixed precision: which type the networks compute in, on this machine."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from utils.errors import ConfigError


@dataclass(frozen=True)
class Precision:
    """Autocast to ``dtype`` (None: float32 throughout). Weights, losses and optimizer stay float32."""

    device_type: str
    dtype: torch.dtype | None = None

    def autocast(self) -> AbstractContextManager:
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device_type, self.dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """Return the loss scaler that fp16 needs; disabled, and without effect, for other types."""
        return torch.amp.GradScaler(self.device_type, enabled=self.dtype == torch.float16)

    def __str__(self) -> str:
        return "float32" if self.dtype is None else str(self.dtype).removeprefix("torch.")


def choose_precision(amp: str, device: torch.device) -> Precision:
    """Turn ``train.amp`` into a type. ``auto``: bf16 where the hardware has it, else fp16, and float32 on the CPU.

    A T4 emulates bf16, slowly, and says it can: only hardware support counts.
    Raises :class:`ConfigError` for a type that this device cannot compute in.
    """
    if amp == "off" or (amp == "auto" and device.type != "cuda"):
        return Precision(device.type)
    if amp == "bf16":
        return Precision(device.type, torch.bfloat16)
    if amp == "fp16" and device.type == "cpu":
        raise ConfigError("train.amp=fp16 needs a GPU: use train.amp=off or bf16 on the CPU")
    if amp == "auto" and torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision(device.type, torch.bfloat16)
    return Precision(device.type, torch.float16)


def check_fits(precision: Precision, amp: str, network: type, where: str) -> None:
    """Raise :class:`ConfigError` when a network says, by ``fits_fp16 = False``, that its activations outgrow fp16."""
    if precision.dtype == torch.float16 and not getattr(network, "fits_fp16", True):
        raise ConfigError(
            f"{where} outgrows fp16, which train.amp={amp} means here: set train.amp=bf16, or off on a GPU without it"
        )


def float32_if_fp16(device_type: str) -> AbstractContextManager:
    """Leave autocast where it computes in fp16: gradient penalties overflow there."""
    if torch.is_autocast_enabled(device_type) and torch.get_autocast_dtype(device_type) == torch.float16:
        return torch.autocast(device_type, enabled=False)
    return nullcontext()
