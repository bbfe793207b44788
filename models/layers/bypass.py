"""A linear way from the pixels past a small network on folded images."""

import numpy as np
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.blocks import zero_init


class PatchBypass(nn.Module):
    """Linear filters on the folded pixels, weighed by the noise level. It starts at zero.

    The best linear denoiser of images shrinks their cosine components, each by the noise level (a Wiener filter).
    Convolutions and SiLUs take long to find it, and until then samples keep a grain of noise. So the filters start as
    the patch's cosine transform, ``mix`` as its inverse, and the gains are all that is left to learn.

    ``patch``: the image of ``channels`` was folded by :class:`torch.nn.PixelUnshuffle` with this factor.
    """

    def __init__(self, channels: int, patch: int, out_channels: int, emb_dim: int):
        super().__init__()
        folded = channels * patch**2
        self.filters = nn.Conv2d(folded, folded, kernel_size=3, padding=1, bias=False)
        self.gain = zero_init(nn.Linear(emb_dim, folded))
        self.mix = nn.Conv2d(folded, out_channels * patch**2, kernel_size=1)
        basis = cosine_basis(channels, patch)
        with torch.no_grad():
            self.filters.weight.zero_()[:, :, 1, 1] = basis
            self.mix.weight[:folded, :, 0, 0] = basis.T[: self.mix.out_channels]

    def forward(self, folded: Tensor, emb: Tensor) -> Tensor:
        """Turn folded [N, channels * patch^2, H, W] and emb [N, emb_dim] into [N, out_channels * patch^2, H, W]."""
        return self.mix(self.filters(folded) * self.gain(F.silu(emb))[:, :, None, None])


def cosine_basis(channels: int, patch: int) -> Tensor:
    """Return the orthonormal cosine transform of a folded patch, over its rows, columns and channels.

    float32 [channels * patch^2, channels * patch^2]: a row for each component, a column for each folded channel.
    """
    over_colours, over_side = (scipy.fft.dct(np.eye(n), norm="ortho", axis=0) for n in (channels, patch))
    return torch.from_numpy(np.kron(over_colours, np.kron(over_side, over_side))).float()
