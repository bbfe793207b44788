"""What a network is told beside the image: the noise level and the label, as vectors.

The sinusoids are those of Vaswani et al. 2017, "Attention Is All You Need", section 3.5, in the order cosine, sine of
Dhariwal & Nichol 2021; the null class is that of Ho & Salimans 2022, "Classifier-Free Diffusion Guidance".
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.batch import Condition
from utils.checks import check_rows


def sinusoidal_embedding(values: Tensor, dim: int, max_period: float = 10_000, endpoint: bool = False) -> Tensor:
    """Turn float values [N] into [N, dim]: cosines, then sines, of dim / 2 frequencies from 1 to 1 / max_period.

    The last frequency is reached only with ``endpoint``, as in DDPM's and EDM's code; ADM's and DiT's stop one short.
    """
    half = dim // 2
    steps = torch.arange(half, device=values.device, dtype=torch.float32) / (half - 1 if endpoint else half)
    angles = values.float()[:, None] * torch.exp(-math.log(max_period) * steps)  # [N, dim / 2]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class LabelEmbedding(nn.Embedding):
    """A table with a row for each class and one more, the last, for the null class ``num_classes``.

    The rows are drawn from N(0, std^2).
    """

    def __init__(self, num_classes: int, dim: int, std: float = 1.0):
        super().__init__(num_classes + 1, dim)
        self.null_class = num_classes
        nn.init.normal_(self.weight, std=std)

    def forward(self, cond: Condition, batch_size: int) -> Tensor:
        """Return [N, dim] for the labels of ``cond``; the null class for all where it has none."""
        labels = cond.labels
        if labels is None:
            labels = torch.full((batch_size,), self.null_class, dtype=torch.int64, device=self.weight.device)
        check_rows(labels, batch_size, "labels", integer=True)
        return super().forward(labels)


class NoiseAndLabelEmbedding(nn.Module):
    """The vector that each block of a diffusion network sees: a two-layer net of the noise, plus the label's row."""

    def __init__(self, noise_channels: int, dim: int, num_classes: int):
        super().__init__()
        self.noise_channels = noise_channels
        self.linear1 = nn.Linear(noise_channels, dim)
        self.linear2 = nn.Linear(dim, dim)
        self.label = LabelEmbedding(num_classes, dim) if num_classes else None

    def forward(self, c_noise: Tensor, cond: Condition) -> Tensor:
        """Turn c_noise [N] and the labels into [N, dim]."""
        emb = self.linear1(sinusoidal_embedding(c_noise, self.noise_channels))  # [N, dim]
        emb = self.linear2(F.silu(emb))
        if self.label is not None:
            emb = emb + self.label(cond, len(c_noise))
        return emb


class LabelTokens(LabelEmbedding):
    """The label as ``tokens`` vectors of length ``dim``: what cross-attention looks at (Rombach et al. 2022, 3.3).

    One learned row a class, cut into its tokens. Tokens that ``cond`` brings, such as a text's, are taken as they are.
    """

    def __init__(self, num_classes: int, tokens: int, dim: int):
        super().__init__(num_classes, tokens * dim)
        self.shape = (tokens, dim)

    def forward(self, cond: Condition, batch_size: int) -> Tensor:
        """Return [N, T, D]."""
        return super().forward(cond, batch_size).unflatten(1, self.shape) if cond.tokens is None else cond.tokens


class LatentAndLabel(nn.Module):
    """What a conditional generator starts from: z, and beside it the label's row, as wide as z and drawn alike."""

    def __init__(self, z_dim: int, num_classes: int):
        super().__init__()
        self.z_dim, self.out_features = z_dim, 2 * z_dim if num_classes else z_dim
        self.label = LabelEmbedding(num_classes, z_dim) if num_classes else None

    def forward(self, z: Tensor, cond: Condition) -> Tensor:
        """Turn z [N, z_dim] into [N, out_features]; z itself where the network is unconditional."""
        check_rows(z, None, "latents", self.z_dim)
        if self.label is None:
            return z
        return torch.cat([z, self.label(cond, len(z))], dim=1)


class LabelProjection(nn.Module):
    """How a discriminator sees the label (Miyato & Koyama 2018, "cGANs with Projection Discriminator", equation 3).

    The inner product of the features, averaged over the picture (the paper: summed), and the label's row. Rows start at
    the size 1 / sqrt(channels), so that the product starts near the size of a feature.
    """

    def __init__(self, num_classes: int, channels: int):
        super().__init__()
        self.label = LabelEmbedding(num_classes, channels, std=channels**-0.5)

    def forward(self, features: Tensor, cond: Condition) -> Tensor:
        """Turn features [N, C, H, W] into what the label adds to the logits [N]."""
        return (features.mean(dim=(2, 3)) * self.label(cond, len(features))).sum(dim=1)
