"""What a discriminator is shown of the images: random changes that gradients pass through.

A member takes float images [N, C, H, W] in [-1, 1] and ``numbers`` uniform random numbers an image, and returns the
images it shows. Real and generated ones go through it on both players' moves, each with numbers of their own.
"""

from typing import Literal

import torch
from torch import Tensor

from training.registry import disc_augments_registry

Policy = Literal["color", "translation", "cutout"]
DRAWS = {"color": 3, "translation": 2, "cutout": 2}  # uniform numbers an image


@disc_augments_registry.add_to_registry(name="diffaugment")
class DiffAugment:
    """Differentiable augmentation, so that few images cannot be learned by heart (Zhao et al. 2020, section 3.2).

    ``policy``: what is done, in this order.
    """

    def __init__(self, policy: list[Policy] = ["color", "translation", "cutout"]):  # noqa: B006 - never changed
        self.policy = policy
        self.numbers = sum(DRAWS[name] for name in policy)

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images [N, C, H, W] changed by the numbers ``uniform`` [N, numbers] in [0, 1)."""
        steps = {"color": color, "translation": translation, "cutout": cutout}
        for name, numbers in zip(self.policy, uniform.split([DRAWS[name] for name in self.policy], dim=1)):
            images = steps[name](images, *numbers.unbind(1))
        return images


def color(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Add up to half; scale the distance to grey by 0 to 2; scale the distance to the mean by 1/2 to 3/2."""
    images = images + (brightness - 0.5)[:, None, None, None]
    grey = images.mean(dim=1, keepdim=True)  # [N, 1, H, W]
    images = grey + (images - grey) * (2 * saturation)[:, None, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)  # [N, 1, 1, 1]
    return mean + (images - mean) * (contrast + 0.5)[:, None, None, None]


def translation(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift by whole pixels, up to an eighth of the size each way; what comes in is zero."""
    for axis, uniform in ((2, down), (3, right)):
        size = images.shape[axis]
        most = round(size / 8)
        shift = (uniform * (2 * most + 1)).floor().long() - most  # [N] in -most .. most
        source = torch.arange(size, device=images.device) - shift[:, None]  # [N, size]
        shape = [len(images), 1, size, 1] if axis == 2 else [len(images), 1, 1, size]
        inside = ((source >= 0) & (source < size)).view(shape)
        index = source.clamp(0, size - 1).view(shape).expand_as(images)
        images = images.gather(axis, index) * inside
    return images


def cutout(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Paint a square of half the size grey (zero); its centre may lie anywhere in the picture."""
    hidden = torch.ones((), dtype=torch.bool, device=images.device)
    for axis, uniform in ((2, row), (3, column)):
        size = images.shape[axis]
        side = round(size / 2)
        start = (uniform * (size + 1 - side % 2)).floor() - side // 2  # [N]
        place = torch.arange(size, device=images.device) - start[:, None]  # [N, size]
        shape = [len(images), 1, size, 1] if axis == 2 else [len(images), 1, 1, size]
        hidden = hidden & ((place >= 0) & (place < side)).view(shape)
    return images * ~hidden
