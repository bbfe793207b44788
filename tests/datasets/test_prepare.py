"""datasets.prepare: from archives, zips and folders to train and test; whole or not at all."""

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.downloads import task_zip
from datasets.image_folder import ImageFolder, list_images
from datasets.prepare import check_counts, main, prepare
from datasets.prepare_sources import Counts, Original, Request, Shards, TaskZip, find_source, task_test_files
from datasets.writing import png_names
from utils.errors import ConfigError, DataError

ARCHIVES = os.environ.get("FOOD101_ARCHIVES")


def source(**settings):
    return find_source(Request(**{key: str(value) if key == "source" else value for key, value in settings.items()}))


def files(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, hidden ones too, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def zipped(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in files(folder).items():
            file.writestr(f"{prefix}{name}", data)
    return archive


# Anybody's own images


def test_own_folder_is_split_by_class_whatever_the_sizes_of_classes(make_folder, tmp_path):
    photos = make_folder("photos", {"a": 5, "b": 12, "c": 3}, size=24)
    assert prepare(source(source=photos, size=16, val_per_class=2), tmp_path / "out")
    train, test = (ImageFolder(str(tmp_path / "out" / split), 16) for split in ("train", "test"))
    assert np.bincount(train.labels).tolist() == [3, 10, 1]
    assert np.bincount(test.labels).tolist() == [2, 2, 2]
    assert sorted(train.files + test.files) == ImageFolder(str(photos), 16).files


def test_written_images_are_what_base_dataset_sees(make_folder, tmp_path):
    photos = make_folder("photos", {"a": 4}, size=40, suffix=".jpg")
    prepare(source(source=photos, size=16, val_per_class=1), tmp_path / "out")
    seen = ImageFolder(str(photos), 16)
    for path in (tmp_path / "out").rglob("*.png"):
        row = seen.files.index(f"a/{path.stem}.jpg")
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), seen[row][0].permute(1, 2, 0).numpy())  # 16 x 16 x 3


def test_the_split_is_the_same_every_time(make_folder, tmp_path):
    photos = make_folder("photos", {"a": 9, "b": 9})
    for out in ("one", "two"):
        prepare(source(source=photos, size=16, val_per_class=3), tmp_path / out)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_folder_without_classes_is_split_as_one(make_folder, tmp_path):
    prepare(source(source=make_folder("photos", {"": 7}), size=16, val_per_class=2), tmp_path / "out")
    assert [len(list((tmp_path / "out" / split).glob("*.png"))) for split in ("train", "test")] == [5, 2]


@pytest.mark.parametrize("test", ["test", "val"])
def test_a_folder_that_is_split_already_stays_as_it_is_split(make_folder, tmp_path, test):
    make_folder("photos/train", {"a": 3, "b": 1})
    make_folder(f"photos/{test}", {"a": 1, "b": 2})
    prepare(source(source=tmp_path / "photos", size=8), tmp_path / "out")
    assert sorted(list_images(tmp_path / "out" / "train").files) == ["a/0.png", "a/1.png", "a/2.png", "b/0.png"]
    assert sorted(list_images(tmp_path / "out" / "test").files) == ["a/0.png", "b/0.png", "b/1.png"]


@pytest.mark.parametrize("prefix", ["", "holiday/", "one/two/"])
def test_a_zip_of_own_images_is_taken_from_whatever_folder_wraps_them(make_folder, tmp_path, prefix):
    photos = make_folder("photos", {"a": 4, "b": 4})
    (photos / ".DS_Store").write_text("x")
    archive = zipped(photos, tmp_path / "photos.zip", prefix)
    prepare(source(source=archive, size=16, val_per_class=1), tmp_path / "out")
    assert len(list_images(tmp_path / "out" / "train").files) == 6


def test_a_bad_image_stops_with_its_name_and_nothing_is_left(make_folder, tmp_path):
    photos = make_folder("photos", {"a": 4})
    (photos / "a" / "2.png").write_bytes(b"no image")
    before = files(tmp_path)
    with pytest.raises(DataError, match="a/2.png cannot be read.*on_bad_image=skip"):
        prepare(source(source=photos, size=16, val_per_class=1), tmp_path / "out")
    assert files(tmp_path) == before
    prepare(source(source=photos, size=16, val_per_class=1, on_bad_image="skip"), tmp_path / "out")
    assert len(list_images(tmp_path / "out" / "train").files) == 2


def test_a_class_that_is_too_small_is_named(make_folder, tmp_path):
    with pytest.raises(DataError, match="soup has 2 images.*lower val_per_class"):
        prepare(source(source=make_folder("photos", {"a": 9, "soup": 2}), val_per_class=2), tmp_path / "out")


def test_train_and_test_must_have_the_same_classes(make_folder, tmp_path):
    make_folder("photos/train", {"a": 3, "b": 1})
    make_folder("photos/test", {"a": 1})
    with pytest.raises(DataError, match="different classes.*b is in one only"):
        prepare(source(source=tmp_path / "photos", size=8), tmp_path / "out")


def test_images_whose_names_differ_in_the_suffix_only_do_not_overwrite_each_other():
    assert png_names(["a/1.jpg", "a/1.webp", "b/1.jpg"]) == ["a/1.jpg.png", "a/1.webp.png", "b/1.png"]


# What is there already


def test_a_folder_that_exists_is_never_written_to(make_folder, tmp_path):
    photos = make_folder("photos", {"a": 4})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="out exists already.*out="):
        prepare(source(source=photos, val_per_class=1), tmp_path / "out")
    assert files(tmp_path / "out") == {"mine.txt": b"mine"}


def test_the_same_again_is_there_already_and_anything_else_is_an_error(make_folder, tmp_path):
    photos = make_folder("photos", {"a": 6})
    assert prepare(source(source=photos, size=16, val_per_class=1), tmp_path / "out")
    assert not prepare(source(source=photos, size=16, val_per_class=1), tmp_path / "out")
    with pytest.raises(DataError, match="exists already"):
        prepare(source(source=photos, size=16, val_per_class=2), tmp_path / "out")
    make_folder("photos", {"a": 7})
    with pytest.raises(DataError, match="exists already"):
        prepare(source(source=photos, size=16, val_per_class=1), tmp_path / "out")


def test_a_data_set_that_lost_images_is_not_taken_for_complete(make_folder, tmp_path):
    photos = source(source=make_folder("photos", {"a": 6}), size=16, val_per_class=1)
    prepare(photos, tmp_path / "out")
    next((tmp_path / "out" / "train").rglob("*.png")).unlink()
    with pytest.raises(DataError, match="exists already"):
        prepare(photos, tmp_path / "out")


def test_nothing_is_written_into_the_source(make_folder):
    photos = make_folder("photos", {"a": 4})
    with pytest.raises(DataError, match="lies inside of the source"):
        prepare(source(source=photos, val_per_class=1), photos / "out")


# Food-101


@pytest.fixture
def shards(make_folder, tmp_path):
    """Archives laid out like the real ones, of eight images."""
    make_folder("food/train", {"a": 2, "b": 2}, suffix=".jpg")
    make_folder("food/test", {"a": 2, "b": 2}, suffix=".jpg", first_seed=9)
    folder = tmp_path / "shards"
    folder.mkdir()
    for name in ("train-0", "test"):
        with tarfile.open(folder / f"{name}.tar.xz", "w:xz") as tar:
            split = name.partition("-")[0]
            tar.add(tmp_path / "food" / split, arcname=split)
    sums = [f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in folder.glob("*.xz")]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


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


# Archives that mean harm


def evil_tar(path, name, kind):
    with tarfile.open(path, "w:xz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        member.size = 5 if kind == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(b"hello"))


@pytest.mark.parametrize(
    "name, kind, message",
    [
        ("../evil.png", tarfile.REGTYPE, "outside of its folder"),
        ("train/../../evil.png", tarfile.REGTYPE, "outside of its folder"),
        ("/tmp/evil.png", tarfile.REGTYPE, "outside of its folder"),
        ("train/evil.png", tarfile.SYMTYPE, "a link or a device"),
        ("train/evil.png", tarfile.LNKTYPE, "a link or a device"),
        ("train/evil.png", tarfile.FIFOTYPE, "a link or a device"),
    ],
)
def test_a_tar_that_reaches_outside_is_refused(shards, tmp_path, name, kind, message):
    evil_tar(shards / "train-0.tar.xz", name, kind)
    digest = sha256((shards / "train-0.tar.xz").read_bytes()).hexdigest()
    (shards / "SHA256SUMS").write_text(f"{digest}  train-0.tar.xz\n")
    before = files(tmp_path)
    with pytest.raises(DataError, match=message):
        prepare(source(source=shards), tmp_path / "work" / "out")
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png", "..\\evil.png"])
def test_a_zip_that_reaches_outside_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(name, b"hello")
    with pytest.raises(DataError, match="outside of its folder"):
        prepare(source(source=tmp_path / "evil.zip"), tmp_path / "work" / "out")
    assert set(files(tmp_path)) == {"evil.zip"}


def test_a_zip_with_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="a link or a device"):
        prepare(source(source=tmp_path / "evil.zip"), tmp_path / "out")


def test_an_archive_that_grows_without_end_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("a/big.png", bytes(2**27))
    with pytest.raises(DataError, match="more than 100 times its size"):
        prepare(source(source=tmp_path / "bomb.zip"), tmp_path / "out")


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_zip_cut_short_is_one_line(make_folder, tmp_path, keep):
    archive = zipped(make_folder("photos", {"a": 3}), tmp_path / "photos.zip")
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a whole zip file"):
        source(source=archive)


# The command


def test_the_command_makes_the_folder_and_prints_the_table(make_folder, tmp_path, capsys, monkeypatch):
    photos = make_folder("photos", {"a": 4, "b": 7})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prepare", f"source={photos}", "size=16", "val_per_class=2"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "data/photos_16 is ready:"
    assert lines[2].split() == ["train", "7", "2", "2", "to", "5"]
    assert lines[3].split() == ["test", "4", "2", "2"]
    main()
    assert "is there already" in capsys.readouterr().out


def test_no_argument_prints_how_to_use_it(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prepare"])
    main()
    assert "python3 -m datasets.prepare source=SOURCE" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        (["sorce=x"], "sorce is not a config key. Did you mean 'source'?"),
        (["size=32"], "source is missing"),
        (["source=photos", "size=1.5"], "size=1.5"),
        (["source=photos", "size=0"], "size=0"),
        (["source=photos", "on_bad_image=ignore"], "on_bad_image"),
        (["source=nowhere"], "there is no nowhere"),
        (["photos"], "'photos' is not an override"),
        (["source=photos/train-0.tar.xz"], "not a whole zip file"),
        (["source=empty"], "empty holds no images"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_exit_status_2(tmp_path, capsys, monkeypatch, words, message):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "train-0.tar.xz").write_bytes(b"hello")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prepare", *words])
    with pytest.raises(SystemExit) as end:
        main()
    shown = capsys.readouterr().err.strip()
    assert end.value.code == 2
    assert message in shown
    assert "\n" not in shown


def test_a_setting_that_the_source_does_not_use_is_an_error(shards, make_folder, tmp_path):
    with pytest.raises(ConfigError, match="size does nothing for"):
        source(source=shards, size=64)
    with pytest.raises(ConfigError, match="val_per_class does nothing for"):
        source(source=tmp_path / "food", val_per_class=3)


def test_the_command_runs_as_a_module():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "datasets.prepare", "source=nowhere-at-all"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "there is no nowhere-at-all" in done.stderr
    assert "Traceback" not in done.stderr
