"""Random augmentation, batched on the device: faster than in workers, and resume stays exact.

A member takes float images [N, C, H, W] in [-1, 1] and one uniform random number an image, and returns the images.
"""

import torch
from torch import Tensor

from utils.class_registry import ClassRegistry

augmentations_registry = ClassRegistry("augmentation")


@augmentations_registry.add_to_registry(name="horizontal_flip")
class HorizontalFlip:
    """Mirror every other image, left to right."""

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        return images.where(uniform[:, None, None, None] < 0.5, images.flip(-1))


@augmentations_registry.add_to_registry(name="random_shift")
class RandomShift:
    """Move each image by up to an eighth of its sides, each way; what comes in at an edge is its mirror image.

    He et al. 2016 ("Deep Residual Learning", section 4.2) do so with 4 of 32 pixels and zeros.
    """

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        places = (height // 8 * 2 + 1, width // 8 * 2 + 1)  # to which an image can be moved, down and across
        chosen = (uniform.double() * (places[0] * places[1])).long()  # [N]: one number chooses both
        rows = mirrored(chosen // places[1] - height // 8, height)  # [N, H]
        columns = mirrored(chosen % places[1] - width // 8, width)  # [N, W]
        images = images.gather(2, rows[:, None, :, None].expand_as(images))
        return images.gather(3, columns[:, None, None, :].expand_as(images))


def mirrored(shift: Tensor, size: int) -> Tensor:
    """Return the indices int64 [N, size] at which a line of ``size`` pixels is read to move it back by shift [N].

    Beyond an end the line is read backwards, the pixel at the end once.
    """
    position = (torch.arange(size, device=shift.device) + shift[:, None]).abs()  # [N, size]
    return torch.where(position < size, position, 2 * (size - 1) - position)
