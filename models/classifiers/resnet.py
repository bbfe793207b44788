"""A residual network that tells what a picture shows.

Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun 2016, "Identity Mappings in Deep Residual Networks", figure 1(b):
normalisation and activation before each convolution; the width doubles where height and width are halved.
Prafulla Dhariwal, Alex Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", section 4: a classifier that is
told how noisy the picture is, by the adaptive group norm of their section 3.1 (``noise_conditional``).

What differs here: ``patch`` folds pixels into channels (pixel unshuffle) where He et al. have a 7 by 7 convolution and
pooling, which a CPU affords; the last convolution of a block starts at zero, so that a block starts as the identity
(Goyal et al. 2017, section 5.1); shortcuts that change the size average and project (He et al. 2019, figure 2c).
"""

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.blocks import GroupNorm, conv3x3, resample, zero_init
from models.layers.checks import check_levels
from models.layers.embedding import NoiseAndLabelEmbedding
from models.registry import classifiers_registry
from utils.batch import Condition
from utils.checks import check_images
from utils.schema import Fraction, PositiveInt

NOISE_CHANNELS = 64  # sinusoids that describe the noise
NORMS = {"batch": nn.BatchNorm2d, "group": GroupNorm}


class PreActivationBlock(nn.Module):
    """Norm, ReLU, convolution, norm, ReLU, convolution; around it the identity, or averaging and a 1 by 1.

    ``halve``: height and width are halved. ``emb_dim``: length of the embedding that scales and shifts the second
    norm's result; None: there is none. Convolutions have no bias: a norm, which has one, follows each of them.
    """

    def __init__(self, in_channels: int, out_channels: int, halve: bool, norm: type[nn.Module], emb_dim: int | None):
        super().__init__()
        self.norm1 = norm(in_channels)
        self.conv1 = conv3x3(in_channels, out_channels, stride=2 if halve else 1, bias=False)
        self.emb = None if emb_dim is None else nn.Linear(emb_dim, 2 * out_channels)
        self.norm2 = norm(out_channels)
        self.conv2 = zero_init(conv3x3(out_channels, out_channels, bias=False))
        self.how = "down" if halve else None
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor, emb: Tensor | None) -> Tensor:
        """Turn x [N, C, H, W] and emb [N, emb_dim] into [N, C', H', W']."""
        h = self.norm2(self.conv1(F.relu(self.norm1(x))))
        if self.emb is not None:
            scale, shift = self.emb(emb)[:, :, None, None].chunk(2, dim=1)  # [N, C', 1, 1] each
            h = h * (1 + scale) + shift
        return self.skip(resample(x, self.how)) + self.conv2(F.relu(h))


def residual_blocks(widths: list[int], per_level: int, norm: type[nn.Module], emb_dim: int | None) -> nn.ModuleList:
    """Return a block for each width; the first of every level but the first level's halves height and width."""
    return nn.ModuleList(
        PreActivationBlock(before, width, halve=i > 0 and i % per_level == 0, norm=norm, emb_dim=emb_dim)
        for i, (before, width) in enumerate(zip([widths[0], *widths], widths))
    )


@classifiers_registry.add_to_registry(name="resnet")
class ResNet(nn.Module):
    """x [N, C, H, W] in [-1, 1], and c_noise [N] where it is ``noise_conditional``, into logits [N, num_classes].

    ``channel_mult`` has an entry for each resolution, from the image's (divided by ``patch``) down, by halves.
    ``norm``: ``batch`` learns fastest; ``group`` sees each image alone, so several processes equal one.
    """

    smallest: ClassVar[dict[str, Any]] = {
        "noise_conditional": True,
        "base_channels": 8,
        "channel_mult": [1, 2],
        "blocks_per_level": 1,
        "patch": 2,
    }

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        num_classes: int,
        noise_conditional: bool = False,
        base_channels: PositiveInt = 64,
        channel_mult: list[PositiveInt] = [1, 2, 4, 8],  # noqa: B006 (only read)
        blocks_per_level: PositiveInt = 2,
        patch: Literal[1, 2, 4] = 1,
        norm: Literal["batch", "group"] = "batch",
        dropout: Fraction = 0.0,
    ):
        super().__init__()
        self.image_channels, self.multiple = image_channels, check_levels(image_size, patch, channel_mult)
        emb_dim = 4 * NOISE_CHANNELS if noise_conditional else None
        self.embedding = NoiseAndLabelEmbedding(NOISE_CHANNELS, emb_dim, num_classes=0) if noise_conditional else None
        self.fold = nn.PixelUnshuffle(patch)
        widths = [base_channels * mult for mult in channel_mult for _ in range(blocks_per_level)]
        self.conv_in = conv3x3(patch**2 * image_channels, widths[0], bias=False)
        self.blocks = residual_blocks(widths, blocks_per_level, NORMS[norm], emb_dim)
        self.norm_out = NORMS[norm](widths[-1])
        self.dropout = nn.Dropout(dropout)
        self.to_logits = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor, c_noise: Tensor | None = None) -> Tensor:
        """Turn x [N, C, H, W] and c_noise [N] into logits [N, num_classes]; a plain one looks at no c_noise."""
        check_images(x, self.image_channels, multiple=self.multiple)
        emb = None if self.embedding is None else F.silu(self.embedding(c_noise, Condition()))  # [N, emb_dim]
        x = self.conv_in(self.fold(x))
        for block in self.blocks:
            x = block(x, emb)
        features = F.relu(self.norm_out(x)).mean(dim=(2, 3))  # [N, C']
        return self.to_logits(self.dropout(features))
