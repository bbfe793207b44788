"""The dev set and selections: which images stand where depends on their names alone."""

import shutil

import numpy as np
import pytest
import torch

from datasets.image_folder import ImageFolder
from datasets.packed import Packed
from datasets.splits import Selection, drop_leaks, held_out, split_dev
from utils.errors import ConfigError, DataError


def names(dataset, rows):
    return {dataset.files[row].removesuffix(".png").removesuffix(".jpg") for row in rows}


def test_the_dev_set_has_as_many_of_each_class_and_shares_nothing_with_training(make_folder):
    dataset = ImageFolder(str(make_folder("d", {"a": 9, "b": 5, "c": 30})), 16)
    train, dev, _ = split_dev(dataset, 4)
    assert np.bincount(dataset.labels[dev]).tolist() == [4, 4, 4]
    assert sorted([*train, *dev]) == list(range(44))


def test_the_dev_set_does_not_depend_on_the_format(make_folder):
    png = ImageFolder(str(make_folder("png", {"a": 12, "b": 12})), 16)
    jpg = ImageFolder(str(make_folder("jpg", {"a": 12, "b": 12}, suffix=".jpg")), 16)
    assert names(png, split_dev(png, 3)[1]) == names(jpg, split_dev(jpg, 3)[1])


def test_the_dev_set_is_spread_and_not_the_first_files(make_folder):
    dataset = ImageFolder(str(make_folder("d", {"a": 40})), 16)
    assert names(dataset, held_out(dataset, 5, "x")) != names(dataset, range(5))


def test_a_file_that_goes_replaces_at_most_itself(make_folder):
    folder = make_folder("d", {"a": 12, "b": 12})
    dataset = ImageFolder(str(folder), 16)
    before = names(dataset, held_out(dataset, 3, "x"))
    for i in range(12):
        shutil.copytree(folder, folder.parent / f"less{i}")
        (folder.parent / f"less{i}" / "a" / f"{i}.png").unlink()
        less = ImageFolder(str(folder.parent / f"less{i}"), 16)
        assert before - names(less, held_out(less, 3, "x")) == before & {f"a/{i}"}


def test_holding_out_nothing_trains_on_everything(make_folder):
    train, dev, _ = split_dev(ImageFolder(str(make_folder("d", {"a": 2, "b": 1})), 16), 0)
    assert (train.tolist(), dev.tolist()) == ([0, 1, 2], [])


def test_a_class_with_too_few_images_is_named_with_its_count(make_folder):
    dataset = ImageFolder(str(make_folder("d", {"a": 9, "soup": 4})), 16)
    with pytest.raises(DataError, match="soup has 4 images.*lower data.dev_per_class"):
        split_dev(dataset, 4)


def test_a_negative_number_is_refused(make_folder):
    with pytest.raises(ConfigError, match="data.dev_per_class=-1"):
        split_dev(ImageFolder(str(make_folder("d", {"a": 2})), 16), -1)


def test_unlabelled_data_are_one_class(make_folder):
    train, dev, _ = split_dev(ImageFolder(str(make_folder("d", {"": 9})), 16), 4)
    assert (len(train), len(dev)) == (5, 4)


def test_a_copy_of_a_dev_photo_is_not_trained_on(make_folder):
    folder = make_folder("d", {"a": 12})
    dataset = ImageFolder(str(folder), 16)
    shown = dataset.files[held_out(dataset, 3, "x")[0]]
    for i in range(4):
        shutil.copy(folder / shown, folder / "a" / f"copy{i}.png")
    dataset = ImageFolder(str(folder), 16)
    train, dev, leaks = split_dev(dataset, 3)
    photos = {dataset[row][0].numpy().tobytes() for row in dev}
    assert len(dev) == 3
    assert not photos & {dataset[row][0].numpy().tobytes() for row in train}
    assert len(train) < 16 - 3  # copies that are not in the dev set are in neither
    assert {leak.train_file for leak in leaks} == set(dataset.files) - {dataset.files[i] for i in (*train, *dev)}


def test_drop_leaks_leaves_test_photos_out_and_lists_them(make_folder):
    train, test = make_folder("train", {"a": 5, "b": 5}), make_folder("test", {"a": 2, "b": 2}, first_seed=50)
    shutil.copy(test / "b" / "1.png", train / "a" / "stolen.png")
    dataset = ImageFolder(str(train), 16)
    kept, leaks = drop_leaks(dataset, ImageFolder(str(test), 16))
    assert [(leak.train_file, leak.test_file) for leak in leaks] == [("a/stolen.png", "b/1.png")]
    assert kept.files == [file for file in dataset.files if file != "a/stolen.png"]


def test_a_selection_is_a_dataset_in_the_order_of_its_indices(make_folder):
    dataset = ImageFolder(str(make_folder("d", {"a": 3, "b": 3})), 16)
    part = Selection(dataset, [5, 0, 2])
    assert part.files == ["b/2.png", "a/0.png", "a/2.png"]
    assert part.labels.tolist() == [1, 0, 0]
    assert (part.class_names, part.image_shape, len(part)) == (["a", "b"], (3, 16, 16), 3)
    assert torch.equal(part.__getitems__([2, 0]).images, dataset.__getitems__([2, 5]).images)
    assert part.__getitems__([2, 0]).labels.tolist() == [0, 1]
    assert Selection(part, [1]).files == ["a/0.png"]


def test_selections_have_content_keys_of_their_own(make_folder):
    dataset = ImageFolder(str(make_folder("d", {"a": 3})), 16)
    keys = {Selection(dataset, rows).content_key for rows in ([0, 1], [1, 0], [0], [])}
    assert len(keys | {dataset.content_key}) == 5
    assert Selection(dataset, [0, 1]).content_key in keys


def test_a_selection_of_images_that_are_not_there_is_an_error(make_folder):
    with pytest.raises(IndexError):
        Selection(ImageFolder(str(make_folder("d", {"a": 3})), 16), [3])


def test_a_selection_keeps_its_pixels_in_one_array_where_its_dataset_does(make_folder):
    folder = str(make_folder("d", {"a": 4}))
    packed = Selection(Packed(folder, 16), [3, 1])
    assert torch.equal(packed.pixels(), packed.__getitems__([0, 1]).images)
    assert torch.equal(Selection(packed, [1]).pixels(), packed.__getitems__([1]).images)
    assert not hasattr(Selection(ImageFolder(folder, 16), [0]), "pixels")
