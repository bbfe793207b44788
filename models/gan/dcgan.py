"""The deep convolutional GAN.

Alec Radford, Luke Metz, Soumith Chintala 2015, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", section 3 and figure 1: convolutions of stride 2 instead of pooling, batch norm except at the
generator's output and the discriminator's input, ReLU and LeakyReLU of slope 0.2, every weight drawn from N(0, 0.02^2).

What differs here: 4 by 4 kernels, as in the authors' code (figure 1 says 5 by 5), and labels, which the paper has not.
Conditional (``num_classes`` > 0): the label's row stands beside z as in Mirza & Osindero 2014, and enters the
discriminator by projection (Miyato & Koyama 2018). ``num_classes`` 0 is the paper's network, without a parameter more.
"""

from typing import Any, ClassVar

from torch import Tensor, nn

from models.layers.checks import START, doublings
from models.layers.embedding import LabelProjection, LatentAndLabel
from models.registry import discs_registry, gens_registry
from utils.batch import Condition
from utils.checks import check_images
from utils.schema import PositiveInt


def init_dcgan(module: nn.Module) -> None:
    """Draw weights of convolutions from N(0, 0.02^2) and of norms from N(1, 0.02^2); biases are zero."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=0.02)
        nn.init.zeros_(module.bias)


def dcgan_widths(image_size: int, base_channels: int) -> list[int]:
    """Return the channels at 4, 8, ... image_size / 2: halved at each doubling, ``base_channels`` at the last."""
    return [base_channels * 2**i for i in reversed(range(doublings(image_size, "dcgan")))]


@gens_registry.add_to_registry(name="dcgan")
class DCGANGenerator(nn.Module):
    """z [N, z_dim] and labels into images [N, C, H, W] in [-1, 1].

    ``base_channels`` is the width at half the image size; at 64 by 64 the paper's 128 gives 1024 channels at 4 by 4.
    """

    smallest: ClassVar[dict[str, Any]] = {"z_dim": 8, "base_channels": 8}

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        z_dim: PositiveInt = 100,
        base_channels: PositiveInt = 128,
    ):
        super().__init__()
        widths = dcgan_widths(image_size, base_channels)
        self.z_dim = z_dim
        self.latent = LatentAndLabel(z_dim, num_classes)
        first = nn.ConvTranspose2d(self.latent.out_features, widths[0], START, bias=False)  # 1 by 1 to 4 by 4
        layers = [first, nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for width, next_width in zip(widths, widths[1:]):
            up = nn.ConvTranspose2d(width, next_width, kernel_size=4, stride=2, padding=1, bias=False)
            layers += [up, nn.BatchNorm2d(next_width), nn.ReLU()]
        to_image = nn.ConvTranspose2d(widths[-1], image_channels, kernel_size=4, stride=2, padding=1, bias=False)
        self.layers = nn.Sequential(*layers, to_image, nn.Tanh())
        self.layers.apply(init_dcgan)

    def forward(self, z: Tensor, cond: Condition) -> Tensor:
        """Turn z [N, z_dim] and ``cond`` into images [N, C, H, W]."""
        return self.layers(self.latent(z, cond)[:, :, None, None])


@discs_registry.add_to_registry(name="dcgan")
class DCGANDiscriminator(nn.Module):
    """Images [N, C, H, W] and labels into logits [N]: above zero means real.

    ``base_channels`` is the width at half the image size, doubled at every halving down to 4 by 4.
    """

    smallest: ClassVar[dict[str, Any]] = {"base_channels": 8}

    def __init__(self, image_size: int, image_channels: int, num_classes: int, base_channels: PositiveInt = 128):
        super().__init__()
        widths = dcgan_widths(image_size, base_channels)[::-1]
        self.seen = (image_channels, image_size)  # what it looks at
        first = nn.Conv2d(image_channels, widths[0], kernel_size=4, stride=2, padding=1, bias=False)
        layers = [first, nn.LeakyReLU(0.2)]
        for width, next_width in zip(widths, widths[1:]):
            down = nn.Conv2d(width, next_width, kernel_size=4, stride=2, padding=1, bias=False)
            layers += [down, nn.BatchNorm2d(next_width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.to_logit = nn.Conv2d(widths[-1], 1, START, bias=False)  # 4 by 4 to 1 by 1
        self.apply(init_dcgan)
        self.projection = LabelProjection(num_classes, widths[-1]) if num_classes else None

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        """Turn images [N, C, H, W] and ``cond`` into logits [N]."""
        check_images(x, *self.seen)
        h = self.layers(x)  # [N, C', 4, 4]
        logits = self.to_logit(h).flatten()  # [N]
        return logits if self.projection is None else logits + self.projection(h, cond)
