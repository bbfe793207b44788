"""The modulated convolution: a convolution whose input channels each image scales as its style says.

Tero Karras, Samuli Laine, Miika Aittala, Janne Hellsten, Jaakko Lehtinen, Timo Aila 2020, "Analyzing and Improving the
Image Quality of StyleGAN", section 2.2, equations 1 and 3.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.equalized import EqualizedLinear
from models.layers.filters import smooth_conv_up


class ModulatedConv2d(nn.Module):
    """Weights w'_jik = s_i w_jik, demodulated: divided by their length for each output channel j (equation 3).

    No image has weights of its own in memory: its input is scaled by s before a shared convolution, and its output by
    1 / length after it, which is the same. Both factors are float32, and s is divided by its largest number, which
    the second factor makes up for: so half types do not overflow, however large the styles are. What is not
    demodulated may be as large as they are, and comes out in float32.

    ``up``: the result is twice as large, doubled through the filter [1, 3, 3, 1].
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: int, w_dim: int, demodulate: bool = True, up: bool = False
    ):
        super().__init__()
        self.demodulate, self.up = demodulate, up
        self.affine = EqualizedLinear(w_dim, in_channels, bias=1.0)  # A in the paper's figure 2
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, size, size))
        self.scale = 1 / math.sqrt(in_channels * size**2)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Turn x [N, C, H, W] and w [N, w_dim] into [N, C', H, W], or [N, C', 2 H, 2 W]."""
        with torch.autocast(x.device.type, enabled=False):
            weight = self.weight * self.scale
            before, after = self.factors(weight, self.affine(w.float()))  # [N, C] and [N, C' or 1]
        x = x * before.to(x.dtype)[:, :, None, None]
        x = smooth_conv_up(x, weight) if self.up else F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        return x * (after.to(x.dtype) if self.demodulate else after)[:, :, None, None]

    def factors(self, weight: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the input and the output are multiplied by, for a weight [C', C, k, k] and styles [N, C]."""
        largest = style.detach().abs().amax(dim=1, keepdim=True).clamp_min(1e-8)  # [N, 1], cancels out
        style = style / largest
        if not self.demodulate:
            return style, largest
        squares = style.square() @ weight.square().sum(dim=(2, 3)).T  # [N, C']
        return style, torch.rsqrt(squares + 1e-8)
