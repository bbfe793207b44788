"""The spectrally normalised GAN.

Takeru Miyato, Toshiki Kataoka, Masanori Koyama, Yuichi Yoshida 2018, "Spectral Normalization for Generative Adversarial
Networks", appendix B.4, table 5 (ImageNet), and Takeru Miyato, Masanori Koyama 2018, "cGANs with Projection
Discriminator" for labels: conditional batch norm in the generator, projection in the discriminator. Trained with the
hinge loss, Adam of rate 2e-4 with betas 0 and 0.9, five discriminator steps a generator step.

What differs here: any size of 4 times a power of two, a row for the null class in every label table, and no biases
where a batch norm would take them away. Blocks of table 5's discriminator have the width of their output throughout.
"""

from typing import Any, ClassVar

from models.gan.residual import ResidualDiscriminator, ResidualGenerator
from models.registry import discs_registry, gens_registry
from utils.schema import PositiveInt


@gens_registry.add_to_registry(name="sngan")
class SNGANGenerator(ResidualGenerator):
    """z [N, z_dim] and labels into images [N, C, H, W] in [-1, 1].

    ``base_channels`` is the width at the full size, doubled at every halving up to ``max_channels``.
    """

    smallest: ClassVar[dict[str, Any]] = {"z_dim": 8, "base_channels": 8, "max_channels": 16}

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        z_dim: PositiveInt = 128,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 1024,
    ):
        super().__init__(
            image_size,
            image_channels,
            num_classes,
            z_dim,
            base_channels,
            max_channels,
            spectral=False,
            attention=None,
        )


@discs_registry.add_to_registry(name="sngan")
class SNGANDiscriminator(ResidualDiscriminator):
    """Images [N, C, H, W] and labels into logits [N]: above zero means real.

    ``base_channels`` is the width at half the size, doubled at every halving up to ``max_channels``.
    """

    smallest: ClassVar[dict[str, Any]] = {"base_channels": 8, "max_channels": 16}

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 1024,
    ):
        super().__init__(image_size, image_channels, num_classes, base_channels, max_channels, attention=None)
