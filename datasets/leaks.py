"""Which training files show a photo that models are judged on: byte-identical, or encoded again."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from datasets.base import ImageDataset
from datasets.parallel import map_chunks
from utils.cache import cached_json, fingerprint
from utils.errors import DataError

VERSION = 1  # of the rule below, for the cache
BOXES = 8  # boxes along each side
SAME_PHOTO = 11.7  # grey levels of 255. On Food-101 copies differ by at most 10.4, other photos by at least 13.0
OF_CONTRAST = 0.5  # ... and by at most this part of the photo's contrast. Food-101: copies 0.24, others 1.0 and more
ROUNDING = 0.01  # grey levels


@dataclass(frozen=True)
class Leak:
    """A training file that shows a held-out photo."""

    train_file: str
    test_file: str
    distance: float  # root-mean-square difference of the box means, in grey levels of 255; 0: the same pixels


def find_leaks(train_dataset: ImageDataset, test_dataset: ImageDataset) -> list[Leak]:
    """List the files of ``train_dataset`` that show an image of ``test_dataset``, each with the one it shows.

    Two images are the same photo when the means of their 8 x 8 boxes in each channel differ by at most 11.7 grey levels
    (root mean square), and by at most half of the held-out image's contrast: the same measure between the image and
    its own mean colour. So a plain white image is shown only by a plain white one, not by everything pale.
    The answer is kept in the cache folder, keyed by the content of both datasets.
    """
    channels = train_dataset.image_shape[0], test_dataset.image_shape[0]
    if channels[0] != channels[1]:
        raise DataError(f"the training images have {channels[0]} channels, the held-out ones {channels[1]}")
    shapes = train_dataset.image_shape, test_dataset.image_shape
    key = fingerprint(VERSION, train_dataset.content_key, test_dataset.content_key, *shapes)
    found = cached_json("leaks", key, lambda: [asdict(leak) for leak in _compare(train_dataset, test_dataset)])
    return [Leak(**leak) for leak in found]


def _compare(train_dataset: ImageDataset, test_dataset: ImageDataset) -> list[Leak]:
    """Find the leaks; 100,000 against 2,000 images take seconds."""
    test = torch.cat([*map_chunks(lambda rows: box_means(test_dataset, rows), len(test_dataset), "held-out images")])
    allowed = (OF_CONTRAST * contrast(test)).clamp(max=SAME_PHOTO) + ROUNDING  # [M]

    def leaks_in(rows: range) -> list[Leak]:
        distances = rms_distances(box_means(train_dataset, rows), test)  # [N, M]
        excess, shown = (distances - allowed).min(dim=1)
        return [
            Leak(train_dataset.files[rows[i]], test_dataset.files[shown[i]], round(distances[i, shown[i]].item(), 2))
            for i in (excess <= 0).nonzero().flatten().tolist()
        ]

    return [leak for leaks in map_chunks(leaks_in, len(train_dataset), "looking for held-out photos") for leak in leaks]


def box_means(dataset: ImageDataset, rows: range) -> Tensor:
    """Return float64 [N, C * 64]: the mean of each of 8 x 8 boxes in each channel, in grey levels."""
    images = dataset.__getitems__(list(rows)).images
    return adaptive_avg_pool2d(images.double(), BOXES).flatten(1)


def contrast(means: Tensor) -> Tensor:
    """Return [N]: the root-mean-square difference of box means [N, C * 64] from the mean of their channel."""
    channels = means.unflatten(1, (-1, BOXES * BOXES))
    return (channels - channels.mean(dim=2, keepdim=True)).square().mean(dim=(1, 2)).sqrt()


def rms_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return [N, M]: the root-mean-square difference of each row of ``a`` and each of ``b``."""
    return torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist") / a.shape[1] ** 0.5


def check_no_overlap(train_root: str, test_root: str) -> None:
    """Raise ``DataError`` when one folder is the other or lies inside it, by whatever links it is reached."""
    train, test = Path(train_root).resolve(), Path(test_root).resolve()
    if train.is_relative_to(test) or test.is_relative_to(train):
        raise DataError(
            f"{train_root} and {test_root} overlap: test images must not be trained on, name two separate folders"
        )
