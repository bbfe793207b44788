"""Layers with an equalized learning rate: weights of standard deviation 1, scaled when they are used.

Tero Karras, Timo Aila, Samuli Laine, Jaakko Lehtinen 2018, "Progressive Growing of GANs for Improved Quality,
Stability, and Variation", section 4.1. Adam then moves every weight by the same share of its size.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.filters import smooth_conv_up


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
    """A convolution of odd ``size``: [N, C, H, W] into [N, C', H, W].

    ``resampling``: "up" doubles height and width through the filter [1, 3, 3, 1]; "down" is stride 2 without padding.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        bias: bool = True,
        resampling: Literal["up", "down"] | None = None,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, size, size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.scale = 1 / math.sqrt(in_channels * size**2)
        self.resampling, self.padding = resampling, size // 2

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [N, C, H, W]."""
        weight = self.weight * self.scale
        if self.resampling == "up":
            x = smooth_conv_up(x, weight)
            return x if self.bias is None else x + self.bias[:, None, None]
        if self.resampling == "down":
            return F.conv2d(x, weight, self.bias, stride=2)
        return F.conv2d(x, weight, self.bias, padding=self.padding)
