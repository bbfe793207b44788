"""Spectral normalisation: a weight divided by its largest singular value.

Takeru Miyato, Toshiki Kataoka, Masanori Koyama, Yuichi Yoshida 2018, "Spectral Normalization for Generative Adversarial
Networks", section 2.1 and algorithm 1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

FIRST_ITERATIONS = 15  # a fresh layer starts with a good guess


class SpectralNorm(nn.Module):
    """W / sigma(W), where sigma = u^T W v and one power iteration a training pass keeps u and v with the weight.

    As ``torch.nn.utils.parametrizations.spectral_norm``, which runs in the type of autocast: with 8 bits the power
    iteration loses the vector it looks for. Here it is float32. u and v are buffers: a checkpoint holds them, a copy
    has its own, and eval mode leaves them alone. Gradients flow through W, not through u and v (equation 12).
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        matrix = weight.detach().flatten(1)  # [rows, columns]: an output channel a row
        self.register_buffer("u", F.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("v", torch.zeros(matrix.shape[1]))
        for _ in range(FIRST_ITERATIONS):
            self.iterate(matrix)

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        """Move v, then u, one step of the power method towards the singular vectors of ``matrix``."""
        self.v.copy_(F.normalize(matrix.T @ self.u, dim=0))
        self.u.copy_(F.normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the normalised weight, of the same shape."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            if self.training:
                self.iterate(matrix.detach())
            u, v = self.u.clone(), self.v.clone()  # the next pass moves them before this one's gradients are taken
            return weight / torch.dot(u, matrix @ v)


def spectral_norm(layer: nn.Module) -> nn.Module:
    """Normalise the weight of a convolution, a linear layer or an embedding, in place. Returns the layer."""
    return parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))
