"""Small folders and archives of images, made by the tests."""

import tarfile
from hashlib import sha256

import pytest
from dataset_helpers import photo


@pytest.fixture
def make_folder(tmp_path):
    """Return a function that makes a folder with photos: ``make_folder("train", {"pizza": 3, "soup": 2})``."""

    def make(name, classes, size=16, first_seed=0, suffix=".png"):
        seed = first_seed
        for class_name, number in classes.items():
            (tmp_path / name / class_name).mkdir(parents=True, exist_ok=True)
            for i in range(number):
                photo(seed, size).save(tmp_path / name / class_name / f"{i}{suffix}")
                seed += 1
        return tmp_path / name

    return make


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
