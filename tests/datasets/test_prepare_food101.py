"""Food-101 from its archives, the task's zip and the original; complete or not at all."""

import os
import sys

import numpy as np
import pytest
from dataset_helpers import files, source, zipped
from PIL import Image

from datasets.downloads import task_zip
from datasets.image_folder import list_images
from datasets.prepare import check_counts, prepare
from datasets.prepare_sources import Counts, Original, Shards, TaskZip, task_test_files
from utils.errors import DataError

ARCHIVES = os.environ.get("FOOD101_ARCHIVES")


def written(source, tmp_path):
    """Let a source write, without the counts of the real data, and return all files."""
    for name in ("ready", "spare"):
        (tmp_path / name).mkdir()
    source.write(tmp_path / "ready", tmp_path / "spare")
    return files(tmp_path / "ready")


def test_shards_unpack_to_the_files_as_they_are(shards, tmp_path):
    found = source(source=shards)
    assert isinstance(found, Shards)
    assert written(found, tmp_path) == files(tmp_path / "food")


@pytest.mark.parametrize(
    "name, message", [("train-0.tar.xz", "is damaged"), ("SHA256SUMS", "is missing"), ("test.tar.xz", "is missing")]
)
def test_shards_that_are_damaged_or_missing_are_named(shards, tmp_path, name, message):
    found = source(source=shards)
    if message == "is damaged":
        with open(shards / name, "ab") as file:
            file.write(b"x")
    else:
        (shards / name).unlink()
    with pytest.raises(DataError, match=f"{name} {message}"):
        prepare(found, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prefix", ["", "download/"])
def test_the_zip_of_the_task_unpacks_to_the_files_as_they_are(shards, tmp_path, prefix):
    archive = zipped(tmp_path / "food", tmp_path / "task.zip", f"{prefix}food_data/")
    found = source(source=archive)
    assert isinstance(found, TaskZip)
    assert written(found, tmp_path) == files(tmp_path / "food")


def test_too_few_images_for_food101_are_an_error_and_nothing_is_left(shards, tmp_path):
    before = files(tmp_path)
    with pytest.raises(
        DataError, match="4 train and 4 test images of 2 classes, and should have 98,936 and 2,020 of 101"
    ):
        prepare(source(source=shards), tmp_path / "out")
    assert files(tmp_path) == before


def test_food101_unpacked_by_hand_in_part_is_not_taken_for_complete(shards, tmp_path):
    with pytest.raises(DataError, match="food exists already"):
        prepare(source(source=shards), tmp_path / "food")


@pytest.mark.parametrize("train, test", [([3, 2], [2, 2]), ([2, 2], [3, 1]), ([2, 2], [2, 1]), ([2, 2], [2])])
def test_counts_other_than_expected_are_an_error(train, test):
    expected = Counts(train=4, test=4, classes=2, test_per_class=2)
    check_counts({"train": np.array([2, 2]), "test": np.array([2, 2])}, expected)
    with pytest.raises(DataError, match="get it again"):
        check_counts({"train": np.array(train), "test": np.array(test)}, expected)


def test_the_list_of_test_photos_has_20_of_each_of_101_classes():
    listed = task_test_files()
    classes = [name.partition("/")[0] for name in listed]
    assert len(set(listed)) == 2020
    assert {classes.count(name) for name in classes} == {20}
    assert len(set(classes)) == 101


def test_the_original_is_split_by_the_list_of_the_tasks_test_photos(tmp_path):
    test = task_test_files()[:2] + task_test_files()[-1:]
    train = ["apple_pie/1.jpg", "waffles/2.jpg"]
    (tmp_path / "food-101" / "meta").mkdir(parents=True)
    for file in test + train:
        path = tmp_path / "food-101" / "images" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(path)
    found = source(source=tmp_path / "food-101", size=32)
    assert isinstance(found, Original)
    pngs = {f"test/{file}" for file in test} | {f"train/{file}" for file in train}
    assert set(written(found, tmp_path)) == {file.replace(".jpg", ".png") for file in pngs}


def test_gdrive_without_gdown_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("MISE_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "gdown", None)  # as if it were not installed
    with pytest.raises(DataError, match="pip install gdown"):
        task_zip()


def test_what_was_fetched_is_not_fetched_again(monkeypatch, shards, tmp_path):
    monkeypatch.setenv("MISE_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "gdown", None)
    (tmp_path / "downloads").mkdir()
    zipped(tmp_path / "food", tmp_path / "downloads" / "food_data.zip", "food_data/")
    assert isinstance(source(source="gdrive"), TaskZip)


@pytest.mark.slow
@pytest.mark.skipif(not ARCHIVES, reason="FOOD101_ARCHIVES names no folder with the shards of Food-101")
def test_the_real_archives_become_food101(tmp_path):
    assert prepare(source(source=ARCHIVES), tmp_path / "out")
    assert not prepare(source(source=ARCHIVES), tmp_path / "out")
    assert set(list_images(tmp_path / "out" / "test").files) == set(task_test_files())
