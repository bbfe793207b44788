"""Self-attention of GANs.

Han Zhang, Ian Goodfellow, Dimitris Metaxas, Augustus Odena 2019, "Self-Attention Generative Adversarial Networks",
section 3, equations 1 to 3. As in the authors' code, keys and values are max-pooled to a quarter of the positions and
the values have half the channels (the paper: an eighth, and no pooling); queries and keys have an eighth.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.spectral import spectral_norm


class GanAttention(nn.Module):
    """y = gamma o + x: every position looks at every other; gamma starts at 0. All convolutions are 1 by 1, spectral.

    Softmax and products are written out: the fused attention of PyTorch has no second derivative, which a gradient
    penalty needs.
    """

    def __init__(self, channels: int):
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query = spectral_norm(nn.Conv2d(channels, narrow, 1, bias=False))  # f
        self.key = spectral_norm(nn.Conv2d(channels, narrow, 1, bias=False))  # g
        self.value = spectral_norm(nn.Conv2d(channels, half, 1, bias=False))  # h
        self.out = spectral_norm(nn.Conv2d(half, channels, 1, bias=False))  # v
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Turn x [N, C, H, W] into the same shape."""
        query = self.query(x).flatten(2)  # [N, C / 8, HW]
        key = F.max_pool2d(self.key(x), 2).flatten(2)  # [N, C / 8, HW / 4]
        value = F.max_pool2d(self.value(x), 2).flatten(2)  # [N, C / 2, HW / 4]
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2).to(value.dtype)  # [N, HW, HW / 4]
        mixed = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])  # [N, C / 2, H, W]
        return x + self.gamma.to(x.dtype) * self.out(mixed)
