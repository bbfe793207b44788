"""What passes between datasets, models, samplers and trainers."""

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Images as a dataset gives them. Their number, channels, height and width are free."""

    images: Tensor  # uint8 [N, C, H, W]
    labels: Tensor | None = None  # int64 [N]; None: the data has no classes
    extra: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def pin_memory(self) -> "Batch":
        """Called by PyTorch's DataLoader: page-locked memory makes the copy to the GPU asynchronous."""
        return map_tensors(self, Tensor.pin_memory)


@dataclass(frozen=True)
class Condition:
    """What a model is asked for. Only guidance and a network's embedding look inside; everybody else hands it on.

    The null class, "no class asked for", is the label ``num_classes``.
    """

    labels: Tensor | None = None  # int64 [N]
    tokens: Tensor | None = None  # float [N, T, D]
    image: Tensor | None = None  # float [N, C, H, W]


def map_tensors(value: Any, function) -> Any:
    """Apply ``function`` to every tensor inside dataclasses, dicts, lists and tuples; leave the rest as it is."""
    if isinstance(value, Tensor):
        return function(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: map_tensors(getattr(value, f.name), function) for f in fields(value)})
    if isinstance(value, dict):
        return {key: map_tensors(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(item, function) for item in value)
    return value


def to_device(value: Any, device: torch.device | str) -> Any:
    """Move every tensor inside ``value`` to ``device``, without waiting where the memory is pinned."""
    return map_tensors(value, lambda tensor: tensor.to(device, non_blocking=True))
