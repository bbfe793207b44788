"""The one image convention: uint8 in files and metrics, floats in [-1, 1] in models, both ways round."""

import pytest
import torch

from utils.images import NAME_WIDTH, image_grid, labelled_grid, to_float, to_uint8

LEVELS = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


def grey(value: int, n: int = 1, channels: int = 3, size: int = 4) -> torch.Tensor:
    return torch.full((n, channels, size, size), value, dtype=torch.uint8)


def test_every_grey_level_comes_back_from_floats():
    assert torch.equal(to_uint8(to_float(LEVELS)), LEVELS)


def test_black_is_minus_one_and_white_is_one():
    floats = to_float(LEVELS)
    assert floats.dtype == torch.float32
    assert floats.flatten()[[0, -1]].tolist() == [-1, 1]


@pytest.mark.parametrize(("above", "expected"), [(0.4, 0), (-0.4, 0), (0.6, 1)])
def test_floats_are_rounded_to_the_nearest_level_not_cut(above, expected):
    inner = LEVELS.flatten()[1:255]
    floats = (inner.double() + above) / 127.5 - 1
    assert torch.equal(to_uint8(floats), inner + expected)


def test_what_is_beyond_black_and_white_is_clamped():
    floats = torch.tensor([-9.0, -1.004, 1.004, 9.0])  # half a level is 0.0039
    assert to_uint8(floats).tolist() == [0, 0, 255, 255]


def test_half_precision_makes_no_level_of_its_own():
    """bfloat16 keeps 8 bits: near 1 it is exact to 2^-8, half a level."""
    error = to_uint8(to_float(LEVELS).bfloat16()).int() - LEVELS.int()
    assert error.abs().max() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_only_bytes_become_floats(dtype):
    with pytest.raises(ValueError, match=f"uint8 images, not {dtype}"):
        to_float(torch.zeros(1, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_only_floats_become_bytes(dtype):
    with pytest.raises(ValueError, match=f"float images, not {dtype}"):
        to_uint8(torch.zeros(1, dtype=dtype))


def test_a_grid_has_each_image_at_its_place_on_white():
    """Image i of c columns stands at row i // c and column i % c, with a margin of the padding around each."""
    images = torch.cat([grey(10 * i, size=4) for i in range(5)])
    grid = image_grid(images, columns=3, padding=2)
    assert grid.shape == (3, 2 + 2 * (4 + 2), 2 + 3 * (4 + 2))
    rest = grid.clone()
    for i in range(5):
        top, left = 2 + (i // 3) * 6, 2 + (i % 3) * 6
        assert (grid[:, top : top + 4, left : left + 4] == 10 * i).all()
        rest[:, top : top + 4, left : left + 4] = 255
    assert (rest == 255).all()


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (10, 4)])
def test_a_grid_is_about_square(n, columns):
    assert image_grid(grey(0, n, size=4), padding=0).shape[2] == columns * 4


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (3, 4, 4)])
def test_a_grid_needs_images(shape):
    with pytest.raises(ValueError, match="N >= 1"):
        image_grid(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_labelled_grid_has_a_row_for_each_name_and_the_name_beside_it(channels):
    rows = [("apple_pie", grey(40, 3, channels, 16)), ("sushi", grey(80, 2, channels, 16))]
    sheet = labelled_grid(rows, scale=2)
    side = 16 * 2 + 2  # an image, enlarged, and the padding after it
    assert sheet.shape == (3, 2 * (side + 2), NAME_WIDTH + 3 * side + 2)
    for row, value, count in ((0, 40, 3), (1, 80, 2)):
        band = sheet[:, row * (side + 2) : (row + 1) * (side + 2)]
        assert (band[:, :, :NAME_WIDTH] < 128).any()  # black letters
        assert (band[:, :, NAME_WIDTH:] == value).all(0).sum() == count * (16 * 2) ** 2
