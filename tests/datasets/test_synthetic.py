"""The drawn dataset: the same pictures for everybody, never the same twice, and dishes that can be told apart."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from datasets.registry import datasets_registry
from datasets.synthetic import Synthetic
from utils.batch import Batch
from utils.errors import ConfigError

CLASSES = len(Synthetic(num_images=1).class_names)


@pytest.fixture(scope="module")
def train() -> Synthetic:
    return Synthetic("train", image_size=32, num_images=30 * CLASSES)


@pytest.fixture(scope="module")
def val() -> Synthetic:
    return Synthetic("val", image_size=32, num_images=30 * CLASSES)


def as_bytes(dataset: Synthetic) -> list[bytes]:
    return [image.numpy().tobytes() for image in dataset.pixels()]


def coarse(dataset: Synthetic, cells: int) -> torch.Tensor:
    """Return the pictures as float32 [N, 3, cells, cells], each cell the mean of its pixels."""
    return avg_pool2d(dataset.pixels().float(), dataset.image_shape[-1] // cells)


def test_the_registry_knows_it_as_synthetic():
    assert datasets_registry["synthetic"] is Synthetic


def test_there_are_at_least_eight_classes_and_their_names_are_sorted(train):
    assert CLASSES >= 8
    assert train.class_names == sorted(set(train.class_names))


def test_a_picture_depends_neither_on_the_order_of_asking_nor_on_the_size_of_the_set():
    few, many = Synthetic(image_size=16, num_images=5), Synthetic(image_size=16, num_images=50)
    backwards = torch.stack([many[row][0] for row in (4, 3, 2, 1, 0)]).flip(0)
    assert torch.equal(few.pixels(), backwards)


def test_a_picture_stays_what_it_was_when_its_batch_is_changed():
    dataset = Synthetic(image_size=16, num_images=4)
    before = dataset[1][0].clone()
    dataset[1][0].fill_(0)
    dataset.pixels().fill_(0)
    assert torch.equal(dataset[1][0], before)


def test_no_two_pictures_are_equal_within_a_split_or_between_them(train, val):
    assert len(set(as_bytes(train) + as_bytes(val))) == len(train) + len(val)


def test_pictures_of_a_class_differ_by_more_than_their_noise(train):
    """Two photos of the same dish differ by noise alone: at four pixels a cell that is under one grey level."""
    cells = coarse(train, cells=16)
    for label in range(CLASSES):
        mine = cells[train.labels == label].flatten(1)
        apart = torch.cdist(mine, mine) / mine.shape[1] ** 0.5  # root mean square, grey levels
        assert apart[~torch.eye(len(mine), dtype=torch.bool)].min() > 5


@pytest.mark.parametrize("num_images", [1, CLASSES - 1, 3 * CLASSES, 3 * CLASSES + 4])
def test_classes_are_balanced_to_one_image(num_images):
    counts = np.bincount(Synthetic(num_images=num_images).labels, minlength=CLASSES)
    assert counts.sum() == num_images
    assert counts.max() - counts.min() == (num_images % CLASSES > 0)


def test_files_are_unique_and_name_the_class_of_the_label(train):
    assert len(set(train.files)) == len(train)
    assert [file.split("/")[0] for file in train.files] == [train.class_names[label] for label in train.labels]


def test_every_class_is_more_often_taken_for_itself_than_for_all_others_together(train, val):
    """The simplest judge there is, the nearest mean of 8 x 8 blurs, learnt on one split and asked on the other."""
    learnt, asked = coarse(train, cells=8).flatten(1), coarse(val, cells=8).flatten(1)
    means = torch.stack([learnt[train.labels == label].mean(0) for label in range(CLASSES)])
    guess = torch.cdist(asked, means).argmin(1).numpy()
    for label, name in enumerate(val.class_names):
        assert (guess[val.labels == label] == label).mean() > 0.5, name


def test_a_row_shows_the_same_picture_at_every_size():
    """Of all the small pictures, the one most like a large one is the one of the same row."""
    rows = 3 * CLASSES
    small, large = (coarse(Synthetic(image_size=size, num_images=rows), cells=32) for size in (32, 64))
    nearest = torch.cdist(large.flatten(1), small.flatten(1)).argmin(1)
    assert nearest.tolist() == list(range(rows))


@pytest.mark.parametrize("image_size", [8, 32, 50, 64])
def test_images_are_uint8_of_the_shape_asked_for(image_size):
    dataset = Synthetic(image_size=image_size, num_images=CLASSES)
    images = dataset.pixels()
    assert dataset.image_shape == (3, image_size, image_size)
    assert images.dtype == torch.uint8
    assert images.shape == (CLASSES, *dataset.image_shape)


def test_a_batch_holds_the_images_and_labels_of_its_rows_in_their_order(train):
    rows = [7, 0, 7, 12, -1]
    batch = train.__getitems__(rows)
    assert isinstance(batch, Batch)
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [train[row][1] for row in rows]
    assert torch.equal(batch.images, torch.stack([train[row][0] for row in rows]))


def test_a_for_loop_ends_after_the_last_image():
    assert len(list(Synthetic(image_size=8, num_images=3))) == 3


def test_the_content_key_is_the_same_for_the_same_pictures_and_no_others():
    settings = [("train", 16, 20), ("val", 16, 20), ("train", 32, 20), ("train", 16, 21)]
    keys = [Synthetic(*each).content_key for each in settings]
    assert keys == [Synthetic(*each).content_key for each in settings]
    assert len(set(keys)) == len(settings)


@pytest.mark.parametrize("wrong", [{"split": "test"}, {"image_size": 7}, {"num_images": 0}])
def test_a_setting_that_cannot_be_drawn_is_an_error_that_names_it(wrong):
    with pytest.raises(ConfigError, match=str(*wrong.values())):
        Synthetic(**wrong)
