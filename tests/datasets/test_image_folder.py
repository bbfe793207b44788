"""base_dataset: any folder of images becomes uint8 RGB of one size, or one line that says what is wrong."""

import os
import shutil

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from datasets.image_folder import ImageFolder
from datasets.registry import datasets_registry
from utils.errors import ConfigError, DataError


def test_base_dataset_is_registered_under_the_name_of_the_template():
    assert datasets_registry["base_dataset"] is ImageFolder


def test_classes_are_sorted_by_name_and_labels_follow(make_folder):
    dataset = ImageFolder(str(make_folder("d", {"soup": 1, "apple": 2, "pizza": 1})), 16)
    assert dataset.class_names == ["apple", "pizza", "soup"]
    assert dataset.files == ["apple/0.png", "apple/1.png", "pizza/0.png", "soup/0.png"]
    assert dataset.labels.dtype == np.int64
    assert dataset.labels.tolist() == [0, 0, 1, 2]


def test_a_flat_folder_is_unlabelled(make_folder):
    dataset = ImageFolder(str(make_folder("d", {"": 3})), 16)
    assert (dataset.labels, dataset.class_names, len(dataset)) == (None, [], 3)
    assert dataset[0][1] == -1
    assert dataset.__getitems__([0, 1]).labels is None


def test_a_batch_holds_what_single_images_are(make_folder):
    dataset = ImageFolder(str(make_folder("d", {"a": 2, "b": 2})), 16)
    batch = dataset.__getitems__([3, 0])
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (2, *dataset.image_shape)
    assert batch.labels.tolist() == [1, 0]
    assert torch.equal(batch.images[0], dataset[3][0])
    assert torch.equal(batch.images[1], dataset[0][0])
    assert not torch.equal(batch.images[0], batch.images[1])


def test_torch_loaders_fetch_whole_batches(make_folder):
    dataset = ImageFolder(str(make_folder("d", {"a": 2, "b": 3})), 16)
    batches = list(DataLoader(dataset, batch_size=2, collate_fn=lambda batch: batch))
    assert torch.cat([batch.labels for batch in batches]).tolist() == [0, 0, 1, 1, 1]


def test_a_dataset_can_be_looped_over(make_folder):
    assert [label for _, label in ImageFolder(str(make_folder("d", {"a": 1, "b": 2})), 16)] == [0, 1, 1]


def test_hidden_entries_and_other_files_are_ignored_and_counted(make_folder):
    folder = make_folder("d", {"a": 1, "b": 1})
    for name in ("README.txt", ".DS_Store", "a/notes.csv", "a/.hidden.png"):
        (folder / name).write_text("x")
    (folder / ".ipynb_checkpoints").mkdir()
    dataset = ImageFolder(str(folder), 16)
    assert dataset.files == ["a/0.png", "b/0.png"]
    assert dataset.ignored == 5


def test_files_of_an_unknown_kind_are_told(make_folder, caplog):
    folder = make_folder("d", {"a": 1, "b": 1})
    ImageFolder(str(folder), 16)
    assert not caplog.records
    for name in ("a/1.heic", "a/2.heic", "b/notes", "a/.hidden"):
        (folder / name).write_text("x")
    ImageFolder(str(folder), 16)
    (line,) = caplog.messages
    assert "left out 3 files" in line and "2 .heic, 1 no suffix" in line


def broken_folder(make_folder, what):
    folder = make_folder("d", {"a": 1, "b": 1})
    if what == "missing":
        return folder / "nowhere"
    if what == "no folder":
        return folder / "a" / "0.png"
    if what == "empty":
        shutil.rmtree(folder / "a")
        shutil.rmtree(folder / "b")
    if what == "empty class":
        os.remove(folder / "b" / "0.png")
    if what == "mixed":
        shutil.copy(folder / "a" / "0.png", folder)
    if what == "nested":
        (folder / "a" / "deeper").mkdir()
    if what == "dangling":
        (folder / "a" / "link.png").symlink_to(folder / "gone.png")
    return folder


@pytest.mark.parametrize(
    "what, message",
    [
        ("missing", "nowhere is not a folder"),
        ("no folder", "0.png is not a folder"),
        ("empty", "d holds no images"),
        ("empty class", "d/b holds no images: fill or remove"),
        ("mixed", r"mixes images \(0.png\) with folders \(a\)"),
        ("nested", "d/a holds a folder, deeper"),
        ("dangling", "link.png cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line_with_the_fix(make_folder, what, message):
    with pytest.raises(DataError, match=message) as error:
        ImageFolder(str(broken_folder(make_folder, what)), 16)
    assert "\n" not in str(error.value)


def test_an_image_size_below_one_is_refused(make_folder):
    with pytest.raises(ConfigError, match="image_size is 0"):
        ImageFolder(str(make_folder("d", {"a": 1})), 0)


def spoil(path, how):
    """Make a file that no reader takes."""
    data = path.read_bytes()
    path.write_bytes({"cut short": data[: len(data) // 2], "no image": b"hello", "empty": b""}[how])


@pytest.mark.parametrize("how", ["cut short", "no image", "empty"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_bad_image_is_an_error_that_names_it_and_the_fix(make_folder, how, suffix):
    folder = make_folder("d", {"a": 2}, size=64, suffix=suffix)
    spoil(folder / "a" / f"1{suffix}", how)
    dataset = ImageFolder(str(folder), 16)
    with pytest.raises(DataError, match=rf"a/1{suffix} cannot be read.*data.on_bad_image=skip"):
        dataset.__getitems__([0, 1])


@pytest.mark.parametrize("how", ["cut short", "no image", "empty"])
def test_skip_leaves_bad_images_out_from_the_start(make_folder, caplog, how):
    folder = make_folder("d", {"a": 3, "b": 2}, size=64, suffix=".jpg")
    spoil(folder / "a" / "1.jpg", how)
    dataset = ImageFolder(str(folder), 16, on_bad_image="skip")
    assert dataset.files == ["a/0.jpg", "a/2.jpg", "b/0.jpg", "b/1.jpg"]
    assert dataset.labels.tolist() == [0, 0, 1, 1]
    assert dataset.bad_files == ["a/1.jpg"]
    assert "left out 1 unreadable: a/1.jpg" in caplog.text
    assert len(dataset.__getitems__(range(4))) == 4


def test_skip_decodes_a_folder_once_until_it_changes(make_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MISE_CACHE", str(tmp_path / "cache"))
    folder = make_folder("d", {"a": 3})
    spoil(folder / "a" / "1.png", "empty")

    def checks():
        ImageFolder(str(folder), 16, on_bad_image="skip")
        return len(list((tmp_path / "cache" / "bad_images").iterdir()))

    assert (checks(), checks()) == (1, 1)
    spoil(folder / "a" / "2.png", "empty")
    assert ImageFolder(str(folder), 16, on_bad_image="skip").files == ["a/0.png"]
    assert checks() == 2


def test_skip_does_not_empty_a_class(make_folder):
    folder = make_folder("d", {"a": 1, "b": 1})
    spoil(folder / "b" / "0.png", "no image")
    with pytest.raises(DataError, match="no image of b can be read"):
        ImageFolder(str(folder), 16, on_bad_image="skip")


def change(folder, what):
    first = folder / "a" / "0.png"
    if what == "edit":
        first.write_bytes((folder / "a" / "1.png").read_bytes() + b"more")
    if what == "touch":
        os.utime(first, ns=(1, 1))
    if what == "add":
        shutil.copy(first, folder / "a" / "new.png")
    if what == "remove":
        os.remove(first)
    if what == "rename":
        first.rename(folder / "a" / "00.png")
    if what == "rename class":
        (folder / "b").rename(folder / "c")


@pytest.mark.parametrize("what", ["edit", "touch", "add", "remove", "rename", "rename class"])
def test_the_content_key_changes_with_the_content(make_folder, what):
    folder = make_folder("d", {"a": 2, "b": 1})
    before = ImageFolder(str(folder), 16).content_key
    assert ImageFolder(str(folder), 16).content_key == before
    change(folder, what)
    assert ImageFolder(str(folder), 16).content_key != before


def test_a_copy_of_a_folder_has_its_content_key(make_folder, tmp_path):
    folder = make_folder("d", {"a": 2})
    shutil.copytree(folder, tmp_path / "copy")
    assert ImageFolder(str(folder), 16).content_key == ImageFolder(str(tmp_path / "copy"), 16).content_key


def test_some_classes_are_what_a_folder_of_these_alone_would_be(make_folder):
    every = make_folder("all", {"apple": 2, "bun": 3, "cake": 1})
    some = ImageFolder(str(every), 16, classes=["cake", "apple"])
    assert (some.class_names, some.files) == (["apple", "cake"], ["apple/0.png", "apple/1.png", "cake/0.png"])
    assert some.labels.tolist() == [0, 0, 1]
    whole = ImageFolder(str(every), 16)
    assert torch.equal(some.images_at([2]), whole.images_at([5]))
    assert some.content_key != whole.content_key
    shutil.rmtree(every / "bun")
    assert ImageFolder(str(every), 16).content_key == some.content_key


def test_a_class_that_is_not_there_is_one_line_with_the_nearest_name(make_folder):
    with pytest.raises(ConfigError, match=r"dataset_args.classes: no class 'aple'. Did you mean 'apple'"):
        ImageFolder(str(make_folder("d", {"apple": 1, "bun": 1})), 16, classes=["aple"])
