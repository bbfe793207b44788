"""A grouped convolution that can be differentiated twice at the speed of once.

PyTorch's second derivative of a grouped convolution runs the groups one after the other: a hundred small kernels for a
layer of a hundred groups, each time a gradient penalty is computed. Here the first derivative is written with
convolutions that are grouped themselves, so the second one is too.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Convolve(torch.autograd.Function):
    """x [N, C, H, W] with weight [C', C / groups, 3, 3], padded by 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return F.conv2d(x, weight, padding=1, groups=groups)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight = ctx.needs_input_grad[:2]
        grad_x = F.conv_transpose2d(grad, weight, padding=1, groups=ctx.groups) if to_x else None
        return grad_x, _WeightGradient.apply(x, grad, weight.shape, ctx.groups) if to_weight else None, None


class _WeightGradient(torch.autograd.Function):
    """The gradient of ``_Convolve`` with respect to the weight: bilinear in x and grad."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grad: Tensor, shape: torch.Size, groups: int) -> Tensor:
        ctx.save_for_backward(x, grad)
        ctx.groups = groups
        return nn.grad.conv2d_weight(x, shape, grad, padding=1, groups=groups)

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, grad = ctx.saved_tensors
        to_x = F.conv_transpose2d(grad, direction, padding=1, groups=ctx.groups)
        return to_x, F.conv2d(x, direction, padding=1, groups=ctx.groups), None, None


class GroupedConv3x3(nn.Conv2d):
    """A padded 3 by 3 convolution of ``channels`` in groups of ``group_size``: [N, C, H, W] into the same shape."""

    def __init__(self, channels: int, group_size: int):
        super().__init__(channels, channels, kernel_size=3, padding=1, groups=channels // group_size)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [N, C, H, W] in its own type: under autocast the layer before has chosen it."""
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            if torch.compiler.is_compiling():  # compiled code is never differentiated twice
                return F.conv2d(x, weight, bias, padding=1, groups=self.groups)
            return _Convolve.apply(x, weight, self.groups) + bias[:, None, None]
