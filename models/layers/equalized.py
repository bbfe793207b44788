"""Layers with an equalized learning rate: weights of standard deviation 1, scaled when they are used.

Tero Karras, Timo Aila, Samuli Laine, Jaakko Lehtinen 2018, "Progressive Growing of GANs for Improved Quality,
Stability, and Variation", section 4.1. Adam then moves every weight by the same share of its size.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def lrelu(x: Tensor) -> Tensor:
    """LeakyReLU of slope 0.2, times sqrt(2): keeps the size of a signal where a layer has kept it."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


class EqualizedLinear(nn.Module):
    """[N, in_features] into [N, out_features].

    ``lr_multiplier``: weights and biases are stored so much larger and used so much smaller, so that the same
    optimizer moves them more slowly (Karras et al. 2019, appendix C: 0.01 in the mapping network).
    """

    def __init__(self, in_features: int, out_features: int, bias: float = 0.0, lr_multiplier: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias / lr_multiplier))
        self.lr_multiplier, self.scale = lr_multiplier, lr_multiplier / math.sqrt(in_features)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply x [N, in_features] by the weight and add the bias."""
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)


class EqualizedConv2d(nn.Module):
    """A convolution of odd ``size``: [N, C, H, W] into [N, C', H, W], or with ``stride`` 2 and no padding smaller."""

    def __init__(self, in_channels: int, out_channels: int, size: int, stride: int = 1, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, size, size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.scale = 1 / math.sqrt(in_channels * size**2)
        self.stride, self.padding = stride, size // 2 if stride == 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [N, C, H, W]."""
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)
