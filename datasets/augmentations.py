"""Random augmentation, batched on the device: faster than in workers, and resume stays exact.

A member takes float images [N, C, H, W] in [-1, 1] and one uniform random number an image, and returns the images.
"""

from torch import Tensor

from utils.class_registry import ClassRegistry

augmentations_registry = ClassRegistry("augmentation")


@augmentations_registry.add_to_registry(name="horizontal_flip")
class HorizontalFlip:
    """Mirror every other image, left to right."""

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        return images.where(uniform[:, None, None, None] < 0.5, images.flip(-1))
