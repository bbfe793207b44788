"""Random augmentation, batched on the device: faster than in workers, and resume stays exact.

A member takes its settings in its constructor. It is called with float images [N, C, H, W] in [-1, 1] and one uniform
random number an image, and returns the images.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from utils.class_registry import ClassRegistry

Augmentation = Callable[[Tensor, Tensor], Tensor]
augmentations_registry = ClassRegistry("augmentation")


@augmentations_registry.add_to_registry(name="horizontal_flip")
class HorizontalFlip:
    """Mirror every other image, left to right."""

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        return images.where(uniform[:, None, None, None] < 0.5, images.flip(-1))


@augmentations_registry.add_to_registry(name="random_shift")
class RandomShift:
    """Move each image by up to ``reach`` of its sides, each way; what comes in at an edge is its mirror image.

    He et al. 2016 ("Deep Residual Learning", section 4.2) move by 4 of 32 pixels, and fill with zeros.
    """

    def __init__(self, reach: Annotated[float, Field(ge=0, lt=1)] = 0.125):
        self.reach = reach

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        down, across = int(height * self.reach), int(width * self.reach)  # pixels at most
        places = (2 * down + 1) * (2 * across + 1)  # to which an image can be moved
        chosen = (uniform.double() * places).long()  # [N]: one number chooses both ways
        rows = mirrored(chosen // (2 * across + 1) - down, height)  # [N, H]
        columns = mirrored(chosen % (2 * across + 1) - across, width)  # [N, W]
        images = images.gather(2, rows[:, None, :, None].expand_as(images))
        return images.gather(3, columns[:, None, None, :].expand_as(images))


def mirrored(shift: Tensor, size: int) -> Tensor:
    """Return the indices int64 [N, size] at which a line of ``size`` pixels is read to move it back by shift [N].

    Beyond an end the line is read backwards, the pixel at the end once.
    """
    position = (torch.arange(size, device=shift.device) + shift[:, None]).abs()  # [N, size]
    return torch.where(position < size, position, 2 * (size - 1) - position)
