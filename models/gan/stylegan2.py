"""StyleGAN2: modulated convolutions instead of AdaIN, skips and residuals instead of progressive growing.

Tero Karras, Samuli Laine, Miika Aittala, Janne Hellsten, Jaakko Lehtinen, Timo Aila 2020, "Analyzing and Improving the
Image Quality of StyleGAN", configuration F: figure 2 d, figure 7, a generator of output skips and a residual
discriminator with the standard deviation of the minibatch. Labels as in Karras et al. 2020b (StyleGAN2-ADA): see
``style.py``; the discriminator's features are projected on what a mapping network makes of the label.

Trained with ``softplus_gen``, ``softplus_disc``, ``r1`` every 16 updates and ``path_length`` every few, Adam of rate
2e-3 with betas 0 and 0.99.

What differs here: noise and style mixing are drawn from z, so they are the same whenever z is, and a picture's noise
stays its own in sampling; styles are mixed at a layer of each image's own (the authors' code: one for a batch); groups
for the standard deviation are neighbours in the batch. PyTorch's operations only.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.gan.style import Mapping, StyleGenerator, layer_noise, style_widths
from models.layers.checks import START
from models.layers.equalized import EqualizedConv2d, EqualizedLinear, lrelu
from models.layers.filters import smooth, smooth_down, smooth_up
from models.layers.minibatch import minibatch_std
from models.layers.modulated import ModulatedConv2d
from models.registry import discs_registry, gens_registry
from utils.batch import Condition
from utils.checks import check_images
from utils.schema import Fraction, PositiveInt


class StyledConv(nn.Module):
    """A modulated 3 by 3 convolution, noise, bias, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, up: bool = False):
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, 3, w_dim, up=up)
        self.noise_strength = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """Turn x [N, C, H, W], w [N, w_dim] and noise [N, 1, H', W'] into [N, C', H', W']."""
        x = self.conv(x, w)
        noise = self.noise_strength * noise
        return lrelu(x + noise.to(x.dtype) + self.bias.to(x.dtype)[:, None, None])


class ToImage(nn.Module):
    """A modulated 1 by 1 convolution, not demodulated, and a bias: features into colours, float32."""

    def __init__(self, in_channels: int, image_channels: int, w_dim: int):
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, image_channels, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(image_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Turn x [N, C, H, W] and w [N, w_dim] into [N, image_channels, H, W]."""
        return self.conv(x, w) + self.bias[:, None, None]


@gens_registry.add_to_registry(name="stylegan2")
class StyleGAN2Generator(StyleGenerator):
    """z [N, z_dim] and labels into images [N, C, H, W], around [-1, 1]: nothing squashes them.

    ``base_channels`` is the width at the full size, doubled at every halving up to ``max_channels``.
    """

    smallest: ClassVar[dict[str, Any]] = {
        "z_dim": 8,
        "w_dim": 8,
        "mapping_layers": 2,
        "base_channels": 8,
        "max_channels": 16,
    }

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        z_dim: PositiveInt = 512,
        w_dim: PositiveInt = 512,
        mapping_layers: PositiveInt = 8,
        base_channels: PositiveInt = 32,
        max_channels: PositiveInt = 512,
        style_mixing: Fraction = 0.9,
    ):
        widths = style_widths(image_size, base_channels, max_channels, "stylegan2")
        super().__init__(num_classes, z_dim, w_dim, mapping_layers, 2 * len(widths), style_mixing)
        self.start = nn.Parameter(torch.randn(widths[0], START, START))
        self.sizes = [START * 2 ** (k // 2) for k in range(1, 2 * len(widths))]  # of each convolution's result
        self.convs = nn.ModuleList([StyledConv(widths[0], widths[0], w_dim)])
        for width, next_width in zip(widths, widths[1:]):
            self.convs.append(StyledConv(width, next_width, w_dim, up=True))
            self.convs.append(StyledConv(next_width, next_width, w_dim))
        self.to_image = nn.ModuleList(ToImage(width, image_channels, w_dim) for width in widths)

    def synthesize(self, w: Tensor, z: Tensor) -> Tensor:
        """Turn w [N, num_styles, w_dim] into images [N, C, H, W]; the layers' noise is drawn from z [N, z_dim].

        Convolution k takes style k; the image at a size takes that of the next convolution.
        """
        styles, noise = w.unbind(dim=1), layer_noise(z, self.sizes)
        x = self.convs[0](self.start.expand(len(w), -1, -1, -1), styles[0], noise[0])
        image = self.to_image[0](x, styles[1])
        for k, to_image in zip(range(1, len(self.convs), 2), self.to_image[1:]):
            x = self.convs[k](x, styles[k], noise[k])
            x = self.convs[k + 1](x, styles[k + 1], noise[k + 1])
            image = smooth_up(image) + to_image(x, styles[k + 2])
        return image


class DownBlock(nn.Module):
    """Two 3 by 3 convolutions, the second halving the picture; beside them a halved 1 by 1; their sum over sqrt(2)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = EqualizedConv2d(in_channels, in_channels, 3)
        self.conv2 = EqualizedConv2d(in_channels, out_channels, 3, resampling="down")
        self.skip = EqualizedConv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn x [N, C, H, W] into [N, C', H / 2, W / 2]."""
        h = smooth(lrelu(self.conv1(x)), pad=2)  # [N, C, H + 1, W + 1]
        return (lrelu(self.conv2(h)) + self.skip(smooth_down(x))) * math.sqrt(0.5)


@discs_registry.add_to_registry(name="stylegan2")
class StyleGAN2Discriminator(nn.Module):
    """Images [N, C, H, W] and labels into logits [N]: above zero means real.

    ``base_channels`` is the width at the full size, doubled at every halving up to ``max_channels``; ``group_size``
    how many images are compared; ``mapping_layers`` are those of the label's mapping network.
    """

    smallest: ClassVar[dict[str, Any]] = {"mapping_layers": 2, "base_channels": 8, "max_channels": 16}
    compares_images: ClassVar[bool] = True  # a logit depends on the other images of its group

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        base_channels: PositiveInt = 32,
        max_channels: PositiveInt = 512,
        group_size: PositiveInt = 4,
        mapping_layers: PositiveInt = 8,
    ):
        super().__init__()
        widths = style_widths(image_size, base_channels, max_channels, "stylegan2")[::-1]
        last = widths[-1]
        self.seen = (image_channels, image_size)  # what it looks at
        self.group_size = group_size
        self.from_image = EqualizedConv2d(image_channels, widths[0], 1)
        self.blocks = nn.ModuleList(DownBlock(width, after) for width, after in zip(widths, widths[1:]))
        self.conv = EqualizedConv2d(last + 1, last, 3)
        self.linear = EqualizedLinear(last * START**2, last)
        self.to_logit = EqualizedLinear(last, last if num_classes else 1)
        self.label = Mapping(0, num_classes, last, mapping_layers) if num_classes else None

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        """Turn images [N, C, H, W] and ``cond`` into logits [N]."""
        check_images(x, *self.seen)
        x = lrelu(self.from_image(x))
        for block in self.blocks:
            x = block(x)
        x = lrelu(self.conv(minibatch_std(x, self.group_size)))
        x = self.to_logit(lrelu(self.linear(x.flatten(1))))  # [N, C' or 1]
        if self.label is None:
            return x.squeeze(1)
        direction = self.label(x.new_empty(len(x), 0), cond)  # [N, C']
        return (x * direction).sum(dim=1) / math.sqrt(x.shape[1])
