"""Resampling through binomial filters in both directions, which let no pattern finer than the grid fold back.

``filtered_up`` and ``filtered_down`` use [1, 2, 1] and keep even places where they are; ``smooth_up`` and
``smooth_down`` use [1, 3, 3, 1] and keep the middle. Beyond the edge is zero. Up is four times the transpose of down:
what one loses the other does not invent.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def filtered_up(x: Tensor) -> Tensor:
    """Double height and width of x [N, C, H, W]: its pixels at even places, between them the mean of the neighbours."""
    x = F.interpolate(x, scale_factor=2.0, mode="nearest")
    return F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), kernel_size=2, stride=1)


def filtered_down(x: Tensor) -> Tensor:
    """Halve height and width of x [N, C, H, W]: at every even place the mean of three by three, weighed [1, 2, 1]."""
    x = F.avg_pool2d(F.pad(x, (1, 0, 1, 0)), kernel_size=2, stride=1)
    return F.avg_pool2d(x, kernel_size=2)


def weigh1331(x: Tensor, pad: int) -> Tensor:
    """Average x [N, C, H, W] by [1, 3, 3, 1] / 8 each way, with ``pad`` zeros around it."""
    x = F.pad(x, (pad, pad, pad, pad))
    x = torch.add(x[..., :-3] + x[..., 3:], x[..., 1:-2] + x[..., 2:-1], alpha=3) / 8
    return torch.add(x[..., :-3, :] + x[..., 3:, :], x[..., 1:-2, :] + x[..., 2:-1, :], alpha=3) / 8


class _Smooth(torch.autograd.Function):
    """The filter is symmetric, so its derivative is itself with the other padding, as often as one likes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pad: int) -> Tensor:
        ctx.pad = pad
        return weigh1331(x, pad)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Smooth.apply(grad, 3 - ctx.pad), None


def smooth(x: Tensor, pad: int) -> Tensor:
    """Average x [N, C, H, W] by [1, 3, 3, 1] / 8, with ``pad`` zeros (0 to 3) around it: it grows by 2 pad - 3."""
    return weigh1331(x, pad) if torch.compiler.is_compiling() else _Smooth.apply(x, pad)


def smooth_up(x: Tensor) -> Tensor:
    """Double height and width of x [N, C, H, W]: each pixel is 3/4 of the nearest and 1/4 of the next, each way."""
    x = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2.0, mode="bilinear")
    return x[..., 2:-2, 2:-2]


def smooth_down(x: Tensor) -> Tensor:
    """Halve height and width of x [N, C, H, W]: of four neighbours each way the mean, weighed [1, 3, 3, 1]."""
    return smooth(x, pad=1)[..., ::2, ::2]


def smooth_conv_up(x: Tensor, weight: Tensor) -> Tensor:
    """Double height and width of x [N, C, H, W], then convolve with ``weight`` [C', C, 3, 3]: [N, C', 2 H, 2 W].

    A transposed convolution of stride 2 and then the filter, which away from the edge is the same as ``smooth_up`` and
    then a convolution with the mirrored weight, for a quarter of the operations.
    """
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [N, C', 2 H + 1, 2 W + 1]
    return 4 * smooth(x, pad=1)  # 4: the transposed convolution sees three zeros for each pixel
