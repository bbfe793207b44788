"""Resampling through the filter [1, 2, 1] in both directions, which lets no pattern finer than the grid fold back.

[1, 2, 1] is [1, 1] twice, so both are averages over two neighbours; beyond the edge is zero. ``filtered_up`` is four
times the transpose of ``filtered_down``: what one loses the other does not invent.
"""

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
