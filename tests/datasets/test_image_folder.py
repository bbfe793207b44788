"""base_dataset: any folder of images becomes uint8 RGB of one size, or one line that says what is wrong."""

import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from datasets.decoding import read_image
from datasets.image_folder import ImageFolder
from datasets.registry import datasets_registry
from utils.errors import ConfigError, DataError


def one_image(folder, image, name="a.png", **how):
    """Save one image alone in a flat folder and return it as base_dataset sees it, uint8 [H, W, 3]."""
    folder.mkdir()
    image.save(folder / name, **how)
    return ImageFolder(str(folder), image.height)[0][0].permute(1, 2, 0).numpy()


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


def test_pixels_of_an_image_of_the_right_size_stay_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert np.array_equal(one_image(tmp_path / "d", Image.fromarray(pixels)), pixels)


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


GREY = np.array([[0, 128], [200, 255]], dtype=np.uint8)


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "I"])
def test_grey_of_any_depth_becomes_the_same_rgb(tmp_path, mode):
    image = Image.fromarray(GREY) if mode in "LP" else Image.fromarray(GREY.astype(np.uint16) * 257)
    suffix = "a.tif" if mode == "I" else "a.png"
    seen = one_image(tmp_path / "d", image.convert(mode) if mode in ("P", "I") else image, suffix)
    assert np.array_equal(seen, np.stack([GREY] * 3, axis=2))


def test_one_bit_images_become_black_and_white(tmp_path):
    seen = one_image(tmp_path / "d", Image.fromarray(GREY > 150))
    assert np.array_equal(seen[..., 0], [[0, 0], [255, 255]])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    if mode == "LA":
        image = image.convert("LA")
    if mode == "PA":  # a palette with one transparent colour, as in a GIF
        image = image.convert("P")
        image.info["transparency"] = image.getpixel((1, 0))
    (tmp_path / "d").mkdir()
    canvas = image.resize((2, 2), Image.Resampling.NEAREST)
    canvas.info.update(image.info)
    canvas.save(tmp_path / "d" / "a.png")
    seen = ImageFolder(str(tmp_path / "d"), 2)[0][0]
    assert seen[:, :, 1].eq(255).all()
    assert mode == "PA" or seen[:, :, 0].eq(0).all()


def test_half_transparent_black_is_mid_grey(tmp_path):
    assert one_image(tmp_path / "d", Image.new("RGBA", (2, 2), (0, 0, 0, 51)))[0, 0].tolist() == [204, 204, 204]


def test_cmyk_becomes_rgb(tmp_path):
    seen = one_image(tmp_path / "d", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "a.jpg", quality=100)
    assert np.abs(seen.astype(int) - [255, 0, 0]).max() <= 3


def test_the_orientation_of_the_camera_is_applied(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    assert np.array_equal(one_image(tmp_path / "d", Image.fromarray(pixels), exif=exif), np.rot90(pixels, k=-1))


def test_the_shorter_side_is_resized_and_the_centre_cropped(tmp_path):
    wide = np.zeros((64, 128, 3), dtype=np.uint8)
    wide[:, :32, 0] = wide[:, 32:96, 1] = wide[:, 96:, 2] = 255  # red, green, blue; the centre is green
    for name, pixels in {"wide": wide, "tall": wide.transpose(1, 0, 2)}.items():
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
        seen = ImageFolder(str(tmp_path / name), 32)[0][0]
        inner = seen[:, 4:-4, 4:-4]  # the filter reaches over the edge of the crop
        assert inner[1].eq(255).all()
        assert inner[[0, 2]].eq(0).all()


def test_making_an_image_smaller_averages_and_does_not_skip_pixels(tmp_path):
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    (tmp_path / "d").mkdir()
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "d" / "a.png")
    seen = ImageFolder(str(tmp_path / "d"), 16)[0][0][:, 2:-2, 2:-2]
    assert (seen.int() - 127).abs().max() <= 4


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.sampled_from(["RGB", "L", "RGBA", "CMYK"]))
def test_every_size_and_mode_gives_rgb_of_the_size_asked_for(tmp_path_factory, width, height, size, mode):
    path = tmp_path_factory.getbasetemp() / "any.tif"
    Image.new(mode, (width, height)).save(path)
    image = read_image(path, size)
    assert (image.mode, image.size) == ("RGB", (size, size))


def test_hidden_entries_and_other_files_are_ignored_and_counted(make_folder):
    folder = make_folder("d", {"a": 1, "b": 1})
    for name in ("README.txt", ".DS_Store", "a/notes.csv", "a/.hidden.png"):
        (folder / name).write_text("x")
    (folder / ".ipynb_checkpoints").mkdir()
    dataset = ImageFolder(str(folder), 16)
    assert dataset.files == ["a/0.png", "b/0.png"]
    assert dataset.ignored == 5


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


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("limit", [200, 100])  # Pillow itself warns above its limit, and refuses above twice as much
def test_an_image_of_too_many_pixels_is_refused(make_folder, monkeypatch, limit):
    dataset = ImageFolder(str(make_folder("d", {"a": 1})), 16)  # 256 pixels
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match="a/0.png cannot be read"):
        dataset[0]


def test_floating_point_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="floating-point"):
        one_image(tmp_path / "d", Image.new("F", (4, 4)), "a.tif")


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
