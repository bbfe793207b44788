"""Files that show a test photo are found, copied or encoded again; other photos are not taken for one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from datasets.image_folder import ImageFolder
from datasets.leaks import Leak, check_no_overlap, find_leaks
from datasets.packed import Packed
from tests.food101 import food101  # noqa: F401
from utils.errors import DataError

# The files of Food-101's train split that show a photo of its test split (../shared/data/README.md).
KNOWN_LEAKS = {
    "chocolate_cake/49494": "chocolate_cake/55122",
    "chocolate_cake/51717": "chocolate_cake/55122",
    "cup_cakes/1044152": "cup_cakes/1082593",
    "lasagna/499765": "lasagna/499859",
    "spaghetti_carbonara/501296": "spaghetti_carbonara/501277",
    "foie_gras/21278": "foie_gras/11934",
    "lobster_roll_sandwich/1051669": "lobster_roll_sandwich/342544",
    "red_velvet_cake/3326372": "red_velvet_cake/1353347",
    "hot_dog/1335350": "hot_dog/3497633",
    "prime_rib/1852556": "prime_rib/1866825",
    "samosa/1027543": "samosa/918899",
    "club_sandwich/1377451": "club_sandwich/1311560",
}


def flat(folder, images):
    """Save images (name to Pillow image) in a flat folder."""
    folder.mkdir()
    for name, image in images.items():
        image.save(folder / name)
    return ImageFolder(str(folder), 64)


@pytest.fixture
def folders(make_folder):
    """Train and test folders of photos that have nothing in common."""
    return make_folder("train", {"a": 30, "b": 30}, 64), make_folder("test", {"a": 10, "b": 10}, 64, first_seed=500)


def test_different_photos_are_no_leaks(folders):
    assert find_leaks(*(ImageFolder(str(folder), 64) for folder in folders)) == []


def test_a_copy_under_another_name_and_class_is_found(folders):
    train, test = folders
    shutil.copy(test / "a" / "3.png", train / "b" / "copy.png")
    found = find_leaks(ImageFolder(str(train), 64), ImageFolder(str(test), 64))
    assert found == [Leak("b/copy.png", "a/3.png", 0.0)]


def encodings(photo):
    """The same photo as people put it online again."""
    yield "coarse.jpg", photo, {"quality": 30}
    yield "large.png", photo.resize((200, 200), Image.Resampling.BICUBIC), {}
    yield "small.png", photo.resize((40, 40), Image.Resampling.BILINEAR), {}
    yield "soft.png", photo.filter(ImageFilter.GaussianBlur(1)), {}
    yield "cut.png", photo.crop((1, 1, 63, 63)), {}


def test_a_photo_encoded_again_is_found(folders):
    train, test = folders
    for name, image, how in encodings(Image.open(test / "a" / "3.png")):
        image.save(train / "a" / name, **how)
    found = find_leaks(ImageFolder(str(train), 64), ImageFolder(str(test), 64))
    assert {leak.train_file for leak in found} == {
        "a/coarse.jpg",
        "a/large.png",
        "a/small.png",
        "a/soft.png",
        "a/cut.png",
    }
    assert {leak.test_file for leak in found} == {"a/3.png"}
    assert all(0 < leak.distance <= 11.71 for leak in found)


def test_a_mirrored_photo_is_another_photo(folders):
    train, test = folders
    Image.open(test / "a" / "3.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(train / "a" / "m.png")
    assert find_leaks(ImageFolder(str(train), 64), ImageFolder(str(test), 64)) == []


def test_the_distance_is_the_rms_of_the_box_means(tmp_path):
    board = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((8, 8)))[..., None] * [200, 200, 200]
    other = board + [0, 0, 9]  # one channel of three differs by 9: the root of 81 / 3
    train = flat(tmp_path / "train", {"x.png": Image.fromarray(other.astype(np.uint8))})
    test = flat(tmp_path / "test", {"y.png": Image.fromarray(board.astype(np.uint8))})
    assert find_leaks(train, test)[0].distance == pytest.approx(27**0.5, abs=0.005)


def test_a_plain_white_image_is_shown_by_plain_white_images_only(tmp_path):
    white = Image.new("RGB", (64, 64), "white")
    plate = white.copy()
    plate.paste((240, 240, 240), (16, 16, 48, 48))  # 6 grey levels from white: near, but another picture
    train = flat(
        tmp_path / "train", {"white.png": white, "plate.png": plate, "pale.png": Image.new("RGB", (64, 64), "snow")}
    )
    assert [leak.train_file for leak in find_leaks(train, flat(tmp_path / "test", {"w.png": white}))] == ["white.png"]


def test_a_faint_photo_is_not_shown_by_its_mean_colour_but_by_its_copy(tmp_path):
    faint = Image.new("RGB", (64, 64), (200, 200, 200))
    faint.paste((212, 212, 212), (0, 0, 32, 64))  # 6 grey levels from its mean on either side
    train = flat(tmp_path / "train", {"copy.jpg": faint, "plain.png": Image.new("RGB", (64, 64), (206, 206, 206))})
    assert [leak.train_file for leak in find_leaks(train, flat(tmp_path / "test", {"f.png": faint}))] == ["copy.jpg"]


def test_a_file_that_shows_two_test_photos_is_listed_once_with_the_nearer(folders):
    train, test = folders
    photo = Image.open(test / "a" / "3.png")
    photo.save(test / "b" / "again.jpg", quality=40)
    photo.save(train / "a" / "copy.png")
    found = find_leaks(ImageFolder(str(train), 64), ImageFolder(str(test), 64))
    assert [(leak.train_file, leak.distance) for leak in found] == [("a/copy.png", 0.0)]


def test_the_answer_is_kept_until_a_folder_changes(folders):
    train, test = folders
    shutil.copy(test / "a" / "3.png", train / "a" / "copy.png")
    datasets = [ImageFolder(str(folder), 64) for folder in folders]
    first = find_leaks(*datasets)
    hidden = train.rename(train.parent / "elsewhere")  # not one image can be read now
    assert find_leaks(*datasets) == first
    shutil.copy(test / "b" / "5.png", hidden / "a" / "second.png")
    hidden.rename(train)
    assert len(find_leaks(ImageFolder(str(train), 64), datasets[1])) == 2


def test_overlapping_folders_are_refused(tmp_path):
    (tmp_path / "food" / "test").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "food" / "test")
    food, test, link = (str(tmp_path / name) for name in ("food", "food/test", "link"))
    for pair in [(food, food), (food, test), (test, food), (test, link), (food, link), (food, f"{food}/../food/test")]:
        with pytest.raises(DataError, match="overlap"):
            check_no_overlap(*pair)


def test_folders_side_by_side_do_not_overlap(tmp_path):
    for name in ("train", "train2", "test"):
        (tmp_path / name).mkdir()
    check_no_overlap(str(tmp_path / "train"), str(tmp_path / "test"))
    check_no_overlap(str(tmp_path / "train"), str(tmp_path / "train2"))


@pytest.mark.slow
def test_exactly_the_known_files_of_food101_leak(food101, tmp_path):  # noqa: F811
    packs = [Packed(str(food101 / split), 64, cache_dir=str(tmp_path)) for split in ("train", "test")]
    found = {Path(leak.train_file).with_suffix(""): leak.test_file for leak in find_leaks(*packs)}
    assert {str(train): str(Path(test).with_suffix("")) for train, test in found.items()} == KNOWN_LEAKS
