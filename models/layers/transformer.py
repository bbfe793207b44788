"""Attention that looks at tokens beside the image.

Robin Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", section 3.3 and appendix
E.2.1: on every position of a feature map self-attention, cross-attention to the condition's tokens, and a feed-forward
net, each behind a layer norm and with a residual path. The gate is GEGLU (Shazeer 2020, "GLU Variants Improve
Transformer").
"""

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.blocks import GroupNorm, heads_of, zero_init

WIDER = 4  # the hidden layer of a feed-forward net, against its input


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V with queries from x and keys and values from ``context``; no bias but the last."""

    def __init__(self, dim: int, context_dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(context_dim, dim, bias=False)
        self.value = nn.Linear(context_dim, dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Turn x [N, L, dim] and context [N, T, context_dim] into [N, L, dim]."""
        parts = (self.query(x), self.key(context), self.value(context))
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)  # [N, heads, L or T, d] each
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Linear, half of it times GELU of the other half, linear."""

    def __init__(self, dim: int):
        super().__init__()
        self.linear1 = nn.Linear(dim, 2 * WIDER * dim)
        self.linear2 = nn.Linear(WIDER * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Turn x [..., dim] into the same shape."""
        value, gate = self.linear1(x).chunk(2, dim=-1)
        return self.linear2(value * F.gelu(gate))


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention where there is a context, feed-forward."""

    def __init__(self, dim: int, context_dim: int | None, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.self_attention = Attention(dim, dim, heads)
        self.norm2 = None if context_dim is None else nn.LayerNorm(dim)
        self.cross_attention = None if context_dim is None else Attention(dim, context_dim, heads)
        self.norm3 = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Turn x [N, L, dim] and context [N, T, context_dim] into [N, L, dim]."""
        normed = self.norm1(x)
        x = x + self.self_attention(normed, normed)
        if self.cross_attention is not None:
            x = x + self.cross_attention(self.norm2(x), context)
        return x + self.feed_forward(self.norm3(x))


class SpatialTransformer(nn.Module):
    """A transformer block on the positions of a feature map, between two linear layers; around it the identity.

    ``context_dim``: length of the tokens that it looks at; None: it looks at the image alone.
    """

    def __init__(self, channels: int, context_dim: int | None, head_channels: int | None = None):
        super().__init__()
        self.norm = GroupNorm(channels, eps=1e-6)
        self.enter = nn.Linear(channels, channels)
        self.block = TransformerBlock(channels, context_dim, heads_of(channels, head_channels))
        self.leave = zero_init(nn.Linear(channels, channels))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Turn x [N, C, H, W] and context [N, T, context_dim] into [N, C, H, W]."""
        positions = self.enter(self.norm(x).flatten(2).transpose(1, 2))  # [N, HW, C]
        h = self.leave(self.block(positions, context))
        return x + h.transpose(1, 2).unflatten(2, x.shape[2:])
