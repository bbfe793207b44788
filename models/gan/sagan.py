"""The self-attention GAN.

Han Zhang, Ian Goodfellow, Dimitris Metaxas, Augustus Odena 2019, "Self-Attention Generative Adversarial Networks": the
residual nets of SNGAN with spectral normalisation in both players and self-attention at 32 by 32 in both (table 2).
Trained with the hinge loss and two learning rates, 1e-4 for the generator and 4e-4 for the discriminator, betas 0 and
0.9, one discriminator step a generator step (sections 4.1 and 4.2).

What differs here: as in ``sngan.py``.
"""

from typing import Any, ClassVar

from models.gan.residual import ResidualDiscriminator, ResidualGenerator
from models.registry import discs_registry, gens_registry
from utils.schema import PositiveInt


@gens_registry.add_to_registry(name="sagan")
class SAGANGenerator(ResidualGenerator):
    """z [N, z_dim] and labels into images [N, C, H, W] in [-1, 1].

    ``base_channels`` is the width at the full size, doubled at every halving up to ``max_channels``;
    ``attention_resolution`` the size of the feature map that looks at itself.
    """

    smallest: ClassVar[dict[str, Any]] = {
        "z_dim": 8,
        "base_channels": 8,
        "max_channels": 16,
        "attention_resolution": 8,
    }

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        z_dim: PositiveInt = 128,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 1024,
        attention_resolution: PositiveInt = 32,
    ):
        super().__init__(
            image_size,
            image_channels,
            num_classes,
            z_dim,
            base_channels,
            max_channels,
            spectral=True,
            attention=attention_resolution,
        )


@discs_registry.add_to_registry(name="sagan")
class SAGANDiscriminator(ResidualDiscriminator):
    """Images [N, C, H, W] and labels into logits [N]: above zero means real.

    ``base_channels`` is the width at half the size, doubled at every halving up to ``max_channels``;
    ``attention_resolution`` the size of the feature map that looks at itself.
    """

    smallest: ClassVar[dict[str, Any]] = {"base_channels": 8, "max_channels": 16, "attention_resolution": 8}

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 1024,
        attention_resolution: PositiveInt = 32,
    ):
        super().__init__(
            image_size, image_channels, num_classes, base_channels, max_channels, attention=attention_resolution
        )
