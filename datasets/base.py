"""What every dataset is: uint8 images of one shape, integer labels, and a unique file name for each image."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from utils.batch import Batch


class ImageDataset(Dataset, ABC):
    """A dataset sets the five attributes and writes :meth:`images_at`; everything else follows from them.

    A dataset whose pixels lie in one array has ``pixels() -> uint8 [N, C, H, W]`` as well, and may live on the GPU.
    With a ``DataLoader`` use ``collate_fn=lambda batch: batch``: ``__getitems__`` gives whole batches already.
    """

    labels: np.ndarray | None  # int64 [N]; None: the data has no classes
    class_names: list[str]  # sorted, label i is class_names[i]; []: the data has no classes
    files: list[str]  # relative posix path of each image, unique
    image_shape: tuple[int, int, int]  # C, H, W
    content_key: str  # what caches are keyed by: changes whenever an image or its name does

    @abstractmethod
    def images_at(self, rows: Sequence[int]) -> Tensor:
        """Return uint8 [N, C, H, W]: the images of these rows, in this order, as memory of their own."""

    def __len__(self) -> int:
        return len(self.files)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the images of ``indices`` and their labels (int64 [N], or None): torch's batched fetch."""
        rows = np.asarray(indices, dtype=np.int64)
        labels = None if self.labels is None else torch.from_numpy(self.labels[rows])
        return Batch(self.images_at(rows), labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return one image, uint8 [C, H, W], and its label; -1 where the data has no classes."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        batch = self.__getitems__([index])
        return batch.images[0], -1 if batch.labels is None else int(batch.labels[0])
