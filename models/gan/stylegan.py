"""The generator of StyleGAN: a learned start that styles shape through adaptive instance normalisation.

Tero Karras, Samuli Laine, Timo Aila 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks",
figure 1 b: each convolution is followed by noise, LeakyReLU and AdaIN (equation 1). The paper's discriminator is that
of progressive growing; here it is trained against ``stylegan2``'s.

What differs here: no progressive growing (StyleGAN2's authors do without it), so only the last size is turned into an
image; features are doubled as in StyleGAN2; the start is drawn from N(0, 1), as there (ones, as in the authors' code,
are zeros after the first AdaIN); labels, noise and mixing as in ``style.py``.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.gan.style import StyleGenerator, layer_noise, style_widths
from models.layers.checks import START
from models.layers.equalized import EqualizedConv2d, EqualizedLinear, lrelu
from models.registry import gens_registry
from utils.schema import Fraction, PositiveInt


class StyleAfterNoise(nn.Module):
    """Noise, bias, LeakyReLU, then AdaIN(x, y) = y_s (x - mean) / std + y_b: [N, C, H, W] into the same shape."""

    def __init__(self, channels: int, w_dim: int):
        super().__init__()
        self.noise_strength = nn.Parameter(torch.zeros(channels, 1, 1))  # B in the paper's figure 1
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.affine = EqualizedLinear(w_dim, 2 * channels)  # A

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """Give x [N, C, H, W] noise [N, 1, H, W] and the style of w [N, w_dim]. Statistics are float32."""
        with torch.autocast(x.device.type, enabled=False):
            h = lrelu(x.float() + self.noise_strength * noise + self.bias)
            scale, shift = self.affine(w.float())[:, :, None, None].chunk(2, dim=1)  # [N, C, 1, 1] each
            variance, mean = torch.var_mean(h, dim=(2, 3), unbiased=False, keepdim=True)
            h = (h - mean) * torch.rsqrt(variance + 1e-8) * (1 + scale) + shift
        return h.to(x.dtype)


@gens_registry.add_to_registry(name="stylegan")
class StyleGANGenerator(StyleGenerator):
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
        base_channels: PositiveInt = 16,
        max_channels: PositiveInt = 512,
        style_mixing: Fraction = 0.9,
    ):
        widths = style_widths(image_size, base_channels, max_channels, "stylegan")
        super().__init__(num_classes, z_dim, w_dim, mapping_layers, 2 * len(widths), style_mixing)
        self.sizes = [START * 2 ** (k // 2) for k in range(2 * len(widths))]  # at each epilogue
        self.start = nn.Parameter(torch.randn(widths[0], START, START))
        self.convs = nn.ModuleList([EqualizedConv2d(widths[0], widths[0], 3, bias=False)])
        for width, after in zip(widths, widths[1:]):
            self.convs.append(EqualizedConv2d(width, after, 3, bias=False, resampling="up"))
            self.convs.append(EqualizedConv2d(after, after, 3, bias=False))
        outputs = [width for width in widths for _ in range(2)]  # the start has an epilogue, too
        self.epilogues = nn.ModuleList(StyleAfterNoise(width, w_dim) for width in outputs)
        self.to_image = EqualizedConv2d(widths[-1], image_channels, 1)

    def synthesize(self, w: Tensor, z: Tensor) -> Tensor:
        """Turn w [N, num_styles, w_dim] into images [N, C, H, W]; the layers' noise is drawn from z [N, z_dim]."""
        styles, noise = w.unbind(dim=1), layer_noise(z, self.sizes)
        x = self.epilogues[0](self.start.expand(len(w), -1, -1, -1), styles[0], noise[0])
        for conv, epilogue, style, its_noise in zip(self.convs, self.epilogues[1:], styles[1:], noise[1:]):
            x = epilogue(conv(x), style, its_noise)
        return self.to_image(x).float()
