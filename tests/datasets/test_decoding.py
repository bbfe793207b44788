"""From an image file of any kind to uint8 RGB: what a person sees in the file is what a model gets."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets.decoding import read_image
from datasets.image_folder import ImageFolder
from utils.errors import DataError


def one_image(folder, image, name="a.png", **how):
    """Save one image alone in a flat folder and return it as base_dataset sees it, uint8 [H, W, 3]."""
    folder.mkdir()
    image.save(folder / name, **how)
    return ImageFolder(str(folder), image.height)[0][0].permute(1, 2, 0).numpy()


def test_pixels_of_an_image_of_the_right_size_stay_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert np.array_equal(one_image(tmp_path / "d", Image.fromarray(pixels)), pixels)


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


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("limit", [200, 100])  # Pillow itself warns above its limit, and refuses above twice as much
def test_an_image_of_too_many_pixels_is_refused(make_folder, monkeypatch, limit):
    dataset = ImageFolder(str(make_folder("d", {"a": 1})), 16)  # 256 pixels
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match="a/0.png cannot be read"):
        dataset[0]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("side", [30_000, 2**31 - 1])
def test_a_file_of_a_hundred_bytes_that_says_it_is_a_billion_pixels_is_named_or_left_out(make_folder, side):
    """A decompression bomb: it is known by its head, before any memory is asked for."""
    folder = make_folder("d", {"a": 2})
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)  # one bit a pixel
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    (folder / "a" / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    with pytest.raises(DataError, match="a/bomb.png cannot be read"):
        ImageFolder(str(folder), 16).images_at([2])
    assert ImageFolder(str(folder), 16, on_bad_image="skip").bad_files == ["a/bomb.png"]


def test_floating_point_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="floating-point"):
        one_image(tmp_path / "d", Image.new("F", (4, 4)), "a.tif")
