"""packed: what base_dataset gives, from one array that is built once."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.image_folder import ImageFolder
from datasets.packed import Packed
from utils.cache import read_json
from utils.errors import DataError


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "packs"


def packs(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*")) + sorted(cache.glob("*/.tmp*"))


def test_a_pack_gives_what_the_folder_gives(make_folder, cache):
    folder = make_folder("d", {"soup": 3, "apple": 2}, size=40)
    plain, packed = ImageFolder(str(folder), 16), Packed(str(folder), 16, cache_dir=str(cache))
    order = [4, 0, 0, 2]
    assert torch.equal(packed.__getitems__(order).images, plain.__getitems__(order).images)
    assert torch.equal(packed.__getitems__(order).labels, plain.__getitems__(order).labels)
    assert torch.equal(packed.pixels(), plain.__getitems__(range(5)).images)
    for name in ("class_names", "files", "image_shape", "content_key"):
        assert getattr(packed, name) == getattr(plain, name)


def test_a_flat_folder_packs_without_labels(make_folder, cache):
    packed = Packed(str(make_folder("d", {"": 2})), 16, cache_dir=str(cache))
    assert packed.labels is None
    assert packed[1][1] == -1


def test_the_array_is_memory_mapped_and_cannot_be_written(make_folder, cache):
    packed = Packed(str(make_folder("d", {"a": 2})), 16, cache_dir=str(cache))
    assert isinstance(packed.images, np.memmap)
    with pytest.raises(ValueError):
        packed.images[0] = 0


def test_a_batch_is_memory_of_its_own(make_folder, cache):
    packed = Packed(str(make_folder("d", {"a": 2})), 16, cache_dir=str(cache))
    before = packed.__getitems__([0]).images
    packed.__getitems__([0]).images.zero_()
    assert torch.equal(packed.__getitems__([0]).images, before)
    assert before.any()


def test_an_unchanged_folder_is_packed_once(make_folder, cache):
    folder = str(make_folder("d", {"a": 2}))
    times = [(Packed(folder, 16, cache_dir=str(cache)).folder / "images.npy").stat().st_mtime_ns for _ in range(2)]
    assert times[0] == times[1]


def test_a_changed_folder_is_packed_anew_and_the_stale_pack_deleted(make_folder, cache):
    folder = make_folder("d", {"a": 2})
    old = Packed(str(folder), 16, cache_dir=str(cache))
    make_folder("d", {"a": 3}, first_seed=50)
    new = Packed(str(folder), 16, cache_dir=str(cache))
    assert len(new) == 3
    assert torch.equal(new.pixels(), ImageFolder(str(folder), 16).__getitems__(range(3)).images)
    assert packs(cache) == [new.folder]
    assert len(old.pixels()) == 2  # who has it open keeps it


def test_sizes_and_folders_keep_packs_side_by_side(make_folder, cache):
    one, other = make_folder("one", {"a": 2}), make_folder("other", {"a": 2}, first_seed=9)
    made = [Packed(str(one), 16, cache_dir=str(cache)), Packed(str(one), 8, cache_dir=str(cache))]
    made.append(Packed(str(other), 16, cache_dir=str(cache)))
    assert packs(cache) == sorted(pack.folder for pack in made)


@pytest.mark.parametrize("file", ["images.npy", "index.json"])
def test_a_damaged_pack_is_built_anew(make_folder, cache, file):
    folder = str(make_folder("d", {"a": 3}))
    first = Packed(folder, 16, cache_dir=str(cache))
    expected = first.pixels()
    damaged = first.folder / file
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    mended = Packed(folder, 16, cache_dir=str(cache))
    assert torch.equal(mended.pixels(), expected)
    assert read_json(mended.folder / "index.json")["files"] == mended.files


def test_a_bad_image_leaves_no_pack_behind(make_folder, cache):
    folder = make_folder("d", {"a": 3})
    (folder / "a" / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="a/1.png cannot be read"):
        Packed(str(folder), 16, cache_dir=str(cache))
    assert packs(cache) == []


def test_skip_packs_what_can_be_read(make_folder, cache):
    folder = make_folder("d", {"a": 3})
    (folder / "a" / "1.png").write_bytes(b"no image")
    packed = Packed(str(folder), 16, on_bad_image="skip", cache_dir=str(cache))
    assert packed.files == ["a/0.png", "a/2.png"]
    assert packed.images.shape == (2, 3, 16, 16)


def test_building_the_same_pack_at_once_does_no_harm(make_folder, tmp_path):
    folder = str(make_folder("d", {"a": 6, "b": 6}))
    expected = ImageFolder(folder, 16).__getitems__(range(12)).images
    for cache in [tmp_path / f"round{i}" for i in range(20)]:
        with ThreadPoolExecutor(6) as pool:
            made = list(pool.map(lambda _, cache=cache: Packed(folder, 16, cache_dir=str(cache)), range(6)))
        assert all(torch.equal(packed.pixels(), expected) for packed in made)
        assert packs(cache) == [made[0].folder]


def test_a_worker_gets_the_place_of_the_array_and_not_a_copy(make_folder, cache):
    packed = Packed(str(make_folder("d", {"a": 40})), 32, cache_dir=str(cache))
    sent = pickle.dumps(packed)
    assert len(sent) < packed.images.nbytes / 10
    assert torch.equal(pickle.loads(sent).pixels(), packed.pixels())


def test_a_cache_that_cannot_be_written_is_one_line_with_the_fix(make_folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="set MISE_CACHE, or dataset_args.cache_dir"):
        Packed(str(make_folder("d", {"a": 1})), 16, cache_dir=str(tmp_path / "file"))


def test_the_pack_lies_in_the_cache_folder_by_default(make_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MISE_CACHE", str(tmp_path / "mine"))
    assert Packed(str(make_folder("d", {"a": 1})), 16).folder.is_relative_to(tmp_path / "mine" / "packed")


def test_a_pack_of_some_classes_and_the_pack_of_all_stand_side_by_side(make_folder, cache):
    folder = str(make_folder("d", {"apple": 2, "bun": 3}))
    whole = Packed(folder, 16, cache_dir=str(cache))
    some = Packed(folder, 16, cache_dir=str(cache), classes=["bun"])
    assert len(packs(cache)) == 2 and torch.equal(some.pixels(), whole.pixels()[2:])
    times = [(it.folder / "images.npy").stat().st_mtime_ns for it in (whole, some)]
    again = [Packed(folder, 16, cache_dir=str(cache)), Packed(folder, 16, cache_dir=str(cache), classes=["bun"])]
    assert [(it.folder / "images.npy").stat().st_mtime_ns for it in again] == times
