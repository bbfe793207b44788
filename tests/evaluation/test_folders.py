"""Which folders are compared, and which are refused."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.folders import SavedAsJpeg, check_comparable, counts_by_class, open_folder
from tests.evaluation.conftest import pictures
from utils.errors import DataError, MetricError


def test_images_are_opened_as_they_are(write):
    dataset = pictures([2, 3], seed=1, size=24)
    opened = open_folder(str(write(dataset, "real")), "real")
    assert opened.image_shape == (3, 24, 24)
    assert torch.equal(opened.images_at(range(5)), dataset.images)
    assert counts_by_class(opened) == {"cake": 2, "soup": 3}


def test_a_flat_folder_has_no_classes(write):
    assert counts_by_class(open_folder(str(write(pictures([2, 3], seed=1), "flat", flat=True)), "fake")) == {}


def test_missing_and_empty_folders_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for root, message in (
        ("", "fake=DIR is missing"),
        (tmp_path / "no", "is not a folder"),
        (tmp_path / "empty", "no images"),
    ):
        with pytest.raises(DataError, match=message):
            open_folder(str(root), "fake")


def test_an_image_of_another_size_is_named(write):
    folder = write(pictures([2, 3], seed=1, size=24), "real")
    Image.new("RGB", (24, 25)).save(folder / "soup" / "odd.png")
    with pytest.raises(DataError, match=r"soup/odd\.png has 24x25 pixels, most others 24x24"):
        open_folder(str(folder), "real")


def test_images_that_are_not_square_are_refused(tmp_path):
    Image.new("RGB", (24, 25)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"24x25 pixels are not square: `python3 -m datasets\.prepare` crops"):
        open_folder(str(tmp_path), "real")


@pytest.mark.parametrize("data", [b"", b"no image at all"])
def test_what_is_no_image_is_named(write, data):
    folder = write(pictures([2, 3], seed=1), "real")
    (folder / "cake" / "bad.png").write_bytes(data)
    with pytest.raises(DataError, match=r"cake/bad\.png cannot be read as images: replace or delete"):
        open_folder(str(folder), "real")


def test_a_truncated_image_is_named(write):
    folder = write(pictures([2, 3], seed=1, size=24), "real")
    victim = folder / "cake" / "000.png"
    victim.write_bytes(victim.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"cake/000\.png cannot be read"):
        open_folder(str(folder), "real")


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        (pictures([2, 3], seed=2, size=9), "real images have 8 pixels a side, generated ones 9: generate 8"),
        (pictures([2, 4], seed=2), "6 generated images, 5 real: .* generate 5"),
        (pictures([3, 2], seed=2), "3 generated images of cake, 2 real"),
        (pictures([5], seed=2), "5 generated images of cake, 2 real"),
    ],
)
def test_sets_that_differ_in_size_count_or_classes_are_refused(fake, message):
    with pytest.raises(MetricError, match=message):
        check_comparable(pictures([2, 3], seed=1), fake)


def test_unlabelled_generated_images_are_as_good():
    flat = pictures([4, 1], seed=2)
    flat.labels = None
    check_comparable(pictures([2, 3], seed=1), flat)


def test_saving_as_jpeg_is_what_pillow_writes_by_default():
    dataset = pictures([2, 3], seed=1, size=24)
    file = BytesIO()
    Image.fromarray(dataset.images[4].permute(1, 2, 0).numpy()).save(file, "JPEG")
    expected = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
    jpeg = SavedAsJpeg(dataset)
    assert torch.equal(jpeg.images_at([4])[0], expected)
    assert jpeg.content_key != dataset.content_key
