"""The one image convention: datasets and files hold uint8 in [0, 255], models see float in [-1, 1]. Both ways round."""

import math

import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """Turn uint8 [..., H, W] in [0, 255] into float32 in [-1, 1]."""
    if images.dtype != torch.uint8:
        raise ValueError(f"to_float takes uint8 images, not {images.dtype}")
    return images.to(torch.float32) / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Turn float [..., H, W] in [-1, 1] into uint8: rounded to the nearest grey level, and clamped."""
    if not images.is_floating_point():
        raise ValueError(f"to_uint8 takes float images, not {images.dtype}")
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def image_grid(images: Tensor, columns: int | None = None, padding: int = 2) -> Tensor:
    """Lay uint8 images [N, C, H, W] out row by row on white. Returns uint8 [C, H', W']; about square by default."""
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"image_grid takes images [N, C, H, W] with N >= 1, not {tuple(images.shape)}")
    from torchvision.utils import make_grid

    columns = columns or math.ceil(math.sqrt(len(images)))
    return make_grid(images.cpu(), nrow=columns, padding=padding, pad_value=255)
