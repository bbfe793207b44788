"""A transformer instead of a U-Net: every patch of the image is a token.

William Peebles, Saining Xie 2022, "Scalable Diffusion Models with Transformers" (DiT), section 3, with adaLN-Zero: the
noise level and the label say how each layer norm's result is scaled and shifted, and by how much each branch counts,
which is nothing at first. The sizes of its table 1, and settings of ``dit``:

    name     depth  width  heads
    DiT-S    12     384    6      the default
    DiT-B    12     768    12
    DiT-L    24     1024   16
    DiT-XL   28     1152   16

The paper works on latents of 32 by 32 with ``patch`` 2, which are as many tokens as an image of 64 by 64 has with 4.
What differs here: the patches are folded into channels (pixel unshuffle) before one linear layer, which is the paper's
convolution with its columns in another order; and a model without classes has no label table.
"""

from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.blocks import zero_init
from models.layers.checks import check_image_size
from models.layers.embedding import NoiseAndLabelEmbedding, sinusoidal_embedding
from models.registry import diffusion_models_registry
from utils.batch import Condition
from utils.checks import check_images, check_rows
from utils.errors import ConfigError
from utils.schema import PositiveInt

NOISE_CHANNELS = 256  # sinusoids of the noise level, at every width
MLP_RATIO = 4  # how much wider the hidden layer of a block's MLP is
layer_norm = partial(nn.LayerNorm, elementwise_affine=False, eps=1e-6)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Scale and shift tokens x [N, T, D] by an image's vectors [N, D]."""
    return x * (1 + scale[:, None]) + shift[:, None]


class TokenAttention(nn.Module):
    """Every token looks at every other: [N, T, D] into the same shape."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        qkv = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # [N, heads, T, D / heads] each
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))


class DiTBlock(nn.Module):
    """Attention, then an MLP; each branch is modulated before and gated after (figure 3, "DiT block with adaLN-Zero").

    The modulation starts at zero, gates included, so that a fresh block is the identity.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = layer_norm(width), layer_norm(width)
        self.attention = TokenAttention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width), nn.GELU(approximate="tanh"), nn.Linear(MLP_RATIO * width, width)
        )
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Turn tokens x [N, T, D] and emb [N, D] into [N, T, D]."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(emb)).chunk(6, dim=1)  # [N, D] each
        x = x + gate1[:, None] * self.attention(modulate(self.norm1(x), shift1, scale1))
        return x + gate2[:, None] * self.mlp(modulate(self.norm2(x), shift2, scale2))


@diffusion_models_registry.add_to_registry(name="dit")
class DiT(nn.Module):
    """A backbone: x [N, C, H, W], c_noise [N] and a condition into [N, out_channels, H, W].

    ``out_channels`` None is as many as the image has; twice as many for a learned variance. Unlike the U-Net it takes
    images of one size, whose places it knows.
    """

    smallest: ClassVar[dict[str, Any]] = {"width": 32, "depth": 2, "heads": 2, "patch": 2}

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        width: PositiveInt = 384,
        depth: PositiveInt = 12,
        heads: PositiveInt = 6,
        patch: PositiveInt = 4,  # pixels a side; the paper's 2, 4 or 8
        out_channels: PositiveInt | None = None,
    ):
        super().__init__()
        check_image_size(image_size, patch, f"patch {patch}")
        if width % heads:
            raise ConfigError(f"width {width} is not a multiple of heads {heads}: each head takes an equal share")
        if width % 4:
            raise ConfigError(f"width must be a multiple of 4, not {width}: sines and cosines of rows and of columns")
        self.seen = (image_channels, image_size)  # positions are those of this size
        self.embedding = NoiseAndLabelEmbedding(NOISE_CHANNELS, width, num_classes)
        self.fold = nn.PixelUnshuffle(patch)
        self.embed_patch = nn.Linear(patch**2 * image_channels, width)
        self.register_buffer("positions", grid_positions(image_size // patch, width), persistent=False)  # [T, D]
        self.blocks = nn.ModuleList(DiTBlock(width, heads) for _ in range(depth))
        self.norm_out = layer_norm(width)
        self.modulation_out = nn.Linear(width, 2 * width)
        self.linear_out = nn.Linear(width, patch**2 * (out_channels or image_channels))
        self.unfold = nn.PixelShuffle(patch)
        self._initialise()

    def _initialise(self) -> None:
        """Draw the weights as the authors' code does; every modulation, and the last layer, begin at zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        labels = [] if self.embedding.label is None else [self.embedding.label]
        for module in (self.embedding.linear1, self.embedding.linear2, *labels):
            nn.init.normal_(module.weight, std=0.02)
        for module in (*(block.modulation for block in self.blocks), self.modulation_out, self.linear_out):
            zero_init(module)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        """Turn x [N, C, H, W], c_noise [N] and ``cond`` into [N, out_channels, H, W]."""
        check_images(x, *self.seen)
        check_rows(c_noise, len(x), "noise numbers")
        emb = self.embedding(c_noise, cond)  # [N, D]
        folded = self.fold(x)  # [N, patch^2 * C, H / patch, W / patch]
        x = self.embed_patch(folded.flatten(2).transpose(1, 2)) + self.positions  # [N, T, D]
        for block in self.blocks:
            x = block(x, emb)
        shift, scale = self.modulation_out(F.silu(emb)).chunk(2, dim=1)  # [N, D] each
        x = self.linear_out(modulate(self.norm_out(x), shift, scale))  # [N, T, patch^2 * out_channels]
        return self.unfold(x.transpose(1, 2).unflatten(2, folded.shape[2:]))


def grid_positions(side: int, width: int) -> Tensor:
    """Return what is added to the tokens of a grid, row by row: float32 [side^2, width].

    Half of the numbers are sines, then cosines, of the column, the other half of the row, with the frequencies of
    Vaswani et al. 2017.
    """
    places = torch.arange(side, dtype=torch.float32)
    cosines, sines = sinusoidal_embedding(places, width // 2).chunk(2, dim=1)
    line = torch.cat([sines, cosines], dim=1)  # [side, width / 2]
    return torch.cat([line.repeat(side, 1), line.repeat_interleave(side, dim=0)], dim=1)
