"""What StyleGAN and StyleGAN2 share: the mapping network, style mixing, the mean of w and truncation.

Tero Karras, Samuli Laine, Timo Aila 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks".
Labels as in Karras et al. 2020b, "Training Generative Adversarial Networks with Limited Data": a row of a table,
normalised, beside z.

Whatever such a generator draws at random, noise and style mixing, is a function of z (``models/layers/hashed.py``): an
image depends on its z and label alone, in training too.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from models.layers.checks import START, doublings
from models.layers.embedding import LabelEmbedding
from models.layers.equalized import EqualizedLinear, lrelu
from models.layers.hashed import hashed_normal, hashed_uniform, seeds_of
from utils.batch import Condition
from utils.checks import check_rows

NOISE, OTHER_Z, CROSSOVER = range(3)  # what random numbers are for
MEAN_W_DECAY = 0.995  # a training pass


def style_widths(image_size: int, base_channels: int, max_channels: int, network: str) -> list[int]:
    """Return the channels at 4, 8, ... image_size: ``base_channels`` at the last, doubled at every halving."""
    sizes = [START * 2**i for i in range(doublings(image_size, network) + 1)]
    return [min(base_channels * image_size // size, max_channels) for size in sizes]


def normalized(x: Tensor) -> Tensor:
    """Scale each row of x [N, D] to a mean square of 1."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def layer_noise(z: Tensor, sizes: list[int]) -> list[Tensor]:
    """Draw standard normal numbers, [N, 1, size, size] for each layer of ``sizes``, from z [N, z_dim]."""
    counts = [size**2 for size in sizes]
    parts = hashed_normal(seeds_of(z), NOISE, (sum(counts),)).split(counts, dim=1)  # one hash for all layers
    return [part.unflatten(1, (1, size, size)) for part, size in zip(parts, sizes)]


class Mapping(nn.Module):
    """z [N, z_dim] and the label into w [N, w_dim], in float32; with ``z_dim`` 0 the label alone."""

    def __init__(self, z_dim: int, num_classes: int, w_dim: int, layers: int):
        super().__init__()
        self.z_dim = z_dim
        self.label = LabelEmbedding(num_classes, w_dim) if num_classes else None
        widths = [z_dim + (w_dim if num_classes else 0)] + [w_dim] * layers
        self.layers = nn.ModuleList(EqualizedLinear(a, b, lr_multiplier=0.01) for a, b in zip(widths, widths[1:]))

    def forward(self, z: Tensor, cond: Condition) -> Tensor:
        """Turn z [N, z_dim] and ``cond`` into w [N, w_dim]."""
        check_rows(z, None, "latents", self.z_dim)
        with torch.autocast(z.device.type, enabled=False):
            x = normalized(z.float())
            if self.label is not None:
                x = torch.cat([x, normalized(self.label(cond, len(z)))], dim=1)
            for layer in self.layers:
                x = lrelu(layer(x))
            return x


class StyleGenerator(nn.Module, ABC):
    """z [N, z_dim] and labels into images: ``synthesize(styles(z, cond), z)``.

    ``num_styles``: how many layers are told w, each its own, so that styles can be mixed. ``style_mixing``: the share
    of the images that in training take w from another z from some layer on. ``mean_w`` is the running mean of w over
    training passes, for truncation; like batch norm's statistics it is of a process's own images, and no weight
    depends on it.
    """

    def __init__(
        self, num_classes: int, z_dim: int, w_dim: int, mapping_layers: int, num_styles: int, style_mixing: float
    ):
        super().__init__()
        self.z_dim, self.num_styles, self.style_mixing = z_dim, num_styles, style_mixing
        self.mapping = Mapping(z_dim, num_classes, w_dim, mapping_layers)
        self.register_buffer("mean_w", torch.zeros(w_dim))

    @abstractmethod
    def synthesize(self, w: Tensor, z: Tensor) -> Tensor:
        """Turn w [N, num_styles, w_dim] into images [N, C, H, W]; the layers' noise is drawn from z [N, z_dim]."""

    def forward(self, z: Tensor, cond: Condition) -> Tensor:
        """Turn z [N, z_dim] and ``cond`` into images [N, C, H, W]."""
        return self.synthesize(self.styles(z, cond), z)

    def styles(self, z: Tensor, cond: Condition) -> Tensor:
        """Turn z [N, z_dim] and ``cond`` into w [N, num_styles, w_dim]; in training move the mean and mix styles."""
        w = self.mapping(z, cond)  # [N, w_dim]
        styles = w[:, None].expand(-1, self.num_styles, -1)
        if not self.training:
            return styles
        with torch.no_grad():
            self.mean_w.lerp_(w.mean(dim=0), 1 - MEAN_W_DECAY)
        return self.mixed(styles, z, cond) if self.style_mixing else styles

    def mixed(self, styles: Tensor, z: Tensor, cond: Condition) -> Tensor:
        """Replace w, from a random layer on, by that of another z with the same label (Karras et al. 2019, 3.1)."""
        seeds, layers = seeds_of(z), torch.arange(self.num_styles, device=z.device)
        other = self.mapping(hashed_normal(seeds, OTHER_Z, z.shape[1:]), cond)  # [N, w_dim]
        where, whether = hashed_uniform(seeds, CROSSOVER, (2,)).unbind(dim=1)  # [N] each
        crossover = 1 + (where * (self.num_styles - 1)).long()  # 1 to num_styles - 1
        replaced = (layers >= crossover[:, None]) & (whether < self.style_mixing)[:, None]  # [N, num_styles]
        return torch.where(replaced[:, :, None], other[:, None], styles)


class Truncated(nn.Module):
    """A style generator whose w are drawn towards their mean: mean + psi (w - mean), less variety for better pictures.

    Karras et al. 2019, appendix B; psi 1 changes nothing, psi 0 gives a single style. It is a generator itself.
    """

    def __init__(self, generator: StyleGenerator, psi: float):
        super().__init__()
        self.generator, self.psi, self.z_dim = generator, psi, generator.z_dim

    def forward(self, z: Tensor, cond: Condition) -> Tensor:
        """Turn z [N, z_dim] and ``cond`` into images [N, C, H, W]."""
        mean, w = self.generator.mean_w, self.generator.styles(z, cond)
        return self.generator.synthesize(mean + self.psi * (w - mean), z)
