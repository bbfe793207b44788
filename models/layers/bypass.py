"""A linear way from the pixels past a small network on folded images."""

import numpy as np
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.blocks import conv3x3, zero_init


class PatchBypass(nn.Module):
    """Linear filters on the folded pixels, each weighed by the noise level and, place by place, by the network.

    The best linear denoiser of images shrinks their cosine components, each by the noise level (a Wiener filter).
    Convolutions and SiLUs take long to find it, and until then samples keep a grain of noise. So the filters start as
    the patch's cosine transform, ``mix`` as its inverse, and the gains are all that is left to learn. The network then
    says where more or less of a component is to pass: little on a plain plate, much on an edge. It starts at zero.

    ``patch``: the image of ``channels`` was folded by :class:`torch.nn.PixelUnshuffle` with this factor; ``width``:
    channels of the network's last features; ``emb_dim``: length of the embedding that knows the noise level.
    """

    def __init__(self, channels: int, patch: int, out_channels: int, width: int, emb_dim: int):
        super().__init__()
        folded = channels * patch**2
        self.filters = nn.Conv2d(folded, folded, kernel_size=3, padding=1, bias=False)
        self.gain = zero_init(nn.Linear(emb_dim, folded))
        self.local_gain = zero_init(conv3x3(width, folded))
        self.mix = nn.Conv2d(folded, out_channels * patch**2, kernel_size=1)
        basis = cosine_basis(channels, patch)
        with torch.no_grad():
            self.filters.weight.zero_()[:, :, 1, 1] = basis
            self.mix.weight[:folded, :, 0, 0] = basis.T[: self.mix.out_channels]

    def forward(self, folded: Tensor, features: Tensor, emb: Tensor) -> Tensor:
        """Turn folded [N, channels * patch^2, H, W] into [N, out_channels * patch^2, H, W].

        ``features`` [N, width, H, W] are the network's last, ``emb`` is [N, emb_dim].
        """
        gain = self.gain(F.silu(emb))[:, :, None, None] * (1 + self.local_gain(features))  # [N, C patch^2, H, W]
        return self.mix(self.filters(folded) * gain)


def cosine_basis(channels: int, patch: int) -> Tensor:
    """Return the orthonormal cosine transform of a folded patch, over its rows, columns and channels.

    float32 [channels * patch^2, channels * patch^2]: a row for each component, a column for each folded channel.
    """
    over_colours, over_side = (scipy.fft.dct(np.eye(n), norm="ortho", axis=0) for n in (channels, patch))
    return torch.from_numpy(np.kron(over_colours, np.kron(over_side, over_side))).float()
