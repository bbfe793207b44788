"""datasets.prepare: from archives, zips and folders to train and test; whole or not at all."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import files, source, zipped
from PIL import Image

from datasets.image_folder import ImageFolder, list_images
from datasets.prepare import main, prepare
from datasets.writing import png_names
from utils.errors import ConfigError, DataError

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


def test_a_disk_that_refuses_the_last_file_is_told_with_the_setting_that_names_another_place(
    make_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("datasets.prepare.RECORD", 300 * "x")  # no file system takes so long a name
    with pytest.raises(DataError, match=r"(?s)cannot make .*: out= names another place"):
        prepare(source(source=make_folder("photos", {"a": 4}), size=16, val_per_class=1), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_into_the_source(make_folder):
    photos = make_folder("photos", {"a": 4})
    with pytest.raises(DataError, match="lies inside of the source"):
        prepare(source(source=photos, val_per_class=1), photos / "out")


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
        (["source=photos", "size=100000"], "size=100000: it should be less than or equal to 4096"),
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
