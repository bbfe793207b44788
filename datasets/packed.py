"""A folder of images decoded once, into one memory-mapped array."""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from datasets.base import ImageDataset
from datasets.image_folder import ImageFolder
from datasets.parallel import map_chunks
from datasets.registry import datasets_registry
from utils import cache
from utils.cache import fingerprint, read_json, write_json
from utils.errors import DataError

VERSION = 1  # of the stored format, and of how images are decoded: raise it when either changes
DAY = 24 * 60 * 60  # seconds


@datasets_registry.add_to_registry(name="packed")
class Packed(ImageDataset):
    """``base_dataset``, built once into ``images``: a memory-mapped uint8 array [N, C, H, W].

    The array lies in ``cache_dir`` (default: the cache folder, see :mod:`utils.cache`) under a key of the folder's
    content, so that a changed folder is built anew, and the pack of its former state deleted. It appears whole or not
    at all; when two processes build at once, the first to finish wins and the other takes its array.
    ``classes``: only these class folders; a pack of some does not replace the pack of all.
    """

    def __init__(
        self,
        root: str,
        image_size: int = 64,
        on_bad_image: Literal["error", "skip"] = "error",
        cache_dir: str | None = None,
        classes: list[str] = [],  # noqa: B006 (only read)
    ):
        folder = ImageFolder(root, image_size, on_bad_image, classes)
        self.class_names, self.files, self.labels = folder.class_names, folder.files, folder.labels
        self.content_key, self.image_shape = folder.content_key, folder.image_shape
        self.bad_files, self.ignored = folder.bad_files, folder.ignored
        place = Path(root).resolve()
        home = Path(cache_dir).expanduser() if cache_dir else cache.cache_dir() / "packed"
        shelf = home / f"{place.name}-{fingerprint(place, *sorted(set(classes)))[:8]}-{image_size}"
        self.folder = shelf / fingerprint(VERSION, folder.content_key)
        if open_pack(self.folder, folder) is None:
            build_pack(self.folder, folder)
        self.images = open_pack(self.folder, folder)
        if self.images is None:
            raise DataError(
                f"{self.folder} went away while it was read: is another process packing {root}? Start again"
            )

    def images_at(self, rows: Sequence[int]) -> Tensor:
        """Copy the images of ``rows`` out of the array."""
        return torch.from_numpy(np.asarray(self.images[np.asarray(rows, dtype=np.int64)]))

    def pixels(self) -> Tensor:
        """Return every image, uint8 [N, C, H, W], in memory: what a device holds when the data lives on it."""
        return torch.from_numpy(np.array(self.images))

    def __getstate__(self) -> dict[str, Any]:
        """What a spawned worker gets: the place of the array, not a copy of it."""
        return {**self.__dict__, "images": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, images=np.load(state["folder"] / "images.npy", mmap_mode="r"))


def open_pack(pack: Path, folder: ImageFolder) -> np.ndarray | None:
    """Return the array of ``pack`` (uint8 [N, C, H, W], read only), or None when there is none that fits ``folder``."""
    described = read_json(pack / "index.json")
    if described != _describe(folder):
        return None
    try:
        images = np.load(pack / "images.npy", mmap_mode="r")
    except (OSError, ValueError):  # cut short by a full disk or a crash of the machine
        return None
    array = isinstance(images, np.ndarray)  # of a zip file NumPy makes something else
    fits = array and images.shape == (len(folder), *folder.image_shape) and images.dtype == np.uint8
    return images if fits else None


def build_pack(pack: Path, folder: ImageFolder) -> None:
    """Decode ``folder`` into ``pack``, under a temporary name until it is whole; then delete what it replaces.

    Raises ``DataError`` for an unreadable image, or when the pack cannot be written.
    """
    try:
        pack.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=pack.parent, prefix=".tmp-") as temporary:
            made = Path(temporary) / "pack"
            made.mkdir()
            _write_images(made / "images.npy", folder)
            write_json(made / "index.json", _describe(folder))
            _put_in_place(made, pack, folder)
    except OSError as error:
        fix = "set MISE_CACHE, or dataset_args.cache_dir, to a folder with room"
        raise DataError(f"cannot write {pack} ({error}): {fix}") from error
    _delete_stale(pack)


def _describe(folder: ImageFolder) -> dict[str, Any]:
    labels = None if folder.labels is None else folder.labels.tolist()
    return {"version": VERSION, "class_names": folder.class_names, "labels": labels, "files": folder.files}


def _write_images(path: Path, folder: ImageFolder) -> None:
    """Write the .npy file piece by piece: a full disk is then an error, and not the crash it is through a map."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(folder), *folder.image_shape)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for images in map_chunks(folder.images_at, len(folder), "packing images"):
            file.write(images.numpy())


def _put_in_place(made: Path, pack: Path, folder: ImageFolder) -> None:
    """Give the finished pack its name, unless another process was first: nothing whole is ever deleted here."""
    try:
        os.rename(made, pack)
    except OSError:
        if not pack.exists():
            raise
        if open_pack(pack, folder) is None:  # it appeared whole, so it was damaged since
            shutil.rmtree(pack)
            os.rename(made, pack)


def _delete_stale(pack: Path) -> None:
    """Delete the packs of this folder's former states, and what a killed process left more than a day ago."""
    for other in pack.parent.iterdir():
        if other != pack and not _is_being_built(other):
            shutil.rmtree(other, ignore_errors=True)


def _is_being_built(folder: Path) -> bool:
    try:
        return folder.name.startswith(".tmp-") and time.time() - folder.stat().st_mtime < DAY
    except FileNotFoundError:  # finished in this moment, by another process
        return True
