"""The parts of a U-Net: group norm, resampling, residual block, self-attention.

They follow Ho et al. 2020 (DDPM) and Dhariwal & Nichol 2021 (ADM) block for block, so that weights can be carried over.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from utils.errors import ConfigError


def zero_init(module: nn.Module) -> nn.Module:
    """Set every parameter of ``module`` to zero, so that a residual branch starts as the identity. Returns it."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class GroupNorm(nn.GroupNorm):
    """Group norm with 32 groups as in DDPM, fewer where that would leave less than four channels in a group.

    With one channel in a group a norm erases whatever an embedding adds to that channel. Under autocast the statistics
    are float32 and the result has the dtype of ``x``.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        most = max(1, min(32, channels // 4))
        super().__init__(max(g for g in range(1, most + 1) if channels % g == 0), channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [N, C, ...]."""
        return super().forward(x).to(x.dtype)


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """Return a padded 3 by 3 convolution: height and width stay, or halve with stride 2."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=bias)


def resample(x: Tensor, how: Literal["up", "down"] | None) -> Tensor:
    """Double height and width of x [N, C, H, W] by repetition, or halve them by averaging."""
    if how == "up":
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    return F.avg_pool2d(x, 2) if how == "down" else x


class Downsample(nn.Module):
    """DDPM's way down: a convolution of stride 2."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = conv3x3(channels, channels, stride=2)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Turn x [N, C, H, W] into [N, C, H / 2, W / 2]; ``emb`` is not looked at."""
        return self.conv(x)


class Upsample(nn.Module):
    """DDPM's way up: repetition, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = conv3x3(channels, channels)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Turn x [N, C, H, W] into [N, C, 2 H, 2 W]; ``emb`` is not looked at."""
        return self.conv(resample(x, "up"))


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, the embedding, norm, SiLU, dropout, convolution; around it the identity or a 1 by 1.

    ``scale_shift``: the embedding scales and shifts the second norm's result (ADM's adaptive group norm) instead of
    being added before it (DDPM). ``resampling``: both paths are resampled, the inner one after the first activation
    (BigGAN, then ADM).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_dim: int,
        dropout: float = 0.0,
        scale_shift: bool = False,
        resampling: Literal["up", "down"] | None = None,
    ):
        super().__init__()
        self.scale_shift = scale_shift
        self.resampling = resampling
        self.norm1 = GroupNorm(in_channels)
        self.conv1 = conv3x3(in_channels, out_channels)
        self.emb = nn.Linear(emb_dim, 2 * out_channels if scale_shift else out_channels)
        self.norm2 = GroupNorm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero_init(conv3x3(out_channels, out_channels))
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Turn x [N, C, H, W] and emb [N, emb_dim] into [N, C', H', W']."""
        h = resample(F.silu(self.norm1(x)), self.resampling)
        h = self.conv1(h)  # [N, C', H', W']
        emb = self.emb(F.silu(emb))[:, :, None, None]  # [N, C' or 2 C', 1, 1]
        if self.scale_shift:
            scale, shift = emb.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + emb)
        h = self.conv2(self.dropout(F.silu(h)))
        return self.skip(resample(x, self.resampling)) + h


def heads_of(channels: int, head_channels: int | None) -> int:
    """Return the number of attention heads; None is one. Raises :class:`ConfigError` where they do not come out."""
    if channels % (head_channels or channels):
        raise ConfigError(
            f"head_channels {head_channels} does not divide {channels}, the channels at an attention layer"
        )
    return channels // (head_channels or channels)


class SelfAttention(nn.Module):
    """Every position looks at every other; around it the identity. One head, or heads of ``head_channels`` channels."""

    def __init__(self, channels: int, head_channels: int | None = None, eps: float = 1e-5):
        super().__init__()
        self.heads = heads_of(channels, head_channels)
        self.norm = GroupNorm(channels, eps)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zero_init(nn.Linear(channels, channels))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Turn x [N, C, H, W] into the same shape; ``context`` is not looked at."""
        n, c, height, width = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # [N, HW, C]
        qkv = self.qkv(tokens).view(n, height * width, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # [N, heads, HW, C / heads] each
        h = F.scaled_dot_product_attention(q, k, v)
        h = self.out(h.transpose(1, 2).reshape(n, height * width, c))  # [N, HW, C]
        return x + h.transpose(1, 2).reshape(n, c, height, width)


class Stage(nn.Module):
    """A residual block, and attention after it where there is any.

    ``recompute``: keep only what comes in for the backward pass, and compute the rest again there
    (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
    """

    def __init__(self, block: ResidualBlock, attention: nn.Module | None):
        super().__init__()
        self.block = block
        self.attention = attention
        self.recompute = False

    def forward(self, x: Tensor, emb: Tensor, context: Tensor | None = None) -> Tensor:
        """Turn x [N, C, H, W], emb [N, emb_dim] and context [N, T, D] into [N, C', H, W]."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self.run, x, emb, context, use_reentrant=False)
        return self.run(x, emb, context)

    def run(self, x: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
        x = self.block(x, emb)
        return x if self.attention is None else self.attention(x, context)


def cat_channels(x: Tensor, skip: Tensor) -> Tensor:
    """Put a skip connection beside x: [N, C, H, W] and [N, C', H, W] into [N, C + C', H, W]."""
    return torch.cat([x, skip], dim=1)
