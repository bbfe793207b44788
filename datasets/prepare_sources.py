"""Where images can come from, and how each source becomes a folder with train and test."""

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from tqdm import tqdm

from datasets.archives import check_sums, names_in_zip, unpack_tar, unpack_zip
from datasets.downloads import food101_folder, task_zip
from datasets.image_folder import ImageFolder, list_images
from datasets.splits import held_out
from datasets.writing import write_pngs, write_split
from utils.cache import fingerprint
from utils.errors import ConfigError, DataError
from utils.schema import PositiveInt, section

TASK_FOLDER = "food_data"  # the folder in the task's zip
TEST_IDS = Path(__file__).with_name("food101_test_ids.txt")  # the task's test photos: a line a class, name and numbers


@section
class Request:
    """What the command takes. A setting that the source has no use for is an error."""

    source: str
    out: str | None = None
    size: Annotated[int, Field(ge=1, le=4096)] | None = None  # pixels a side; 64
    val_per_class: PositiveInt | None = None  # test images of each class; 20
    on_bad_image: Literal["error", "skip"] | None = None  # error


@dataclass(frozen=True)
class Counts:
    """How many images a complete data set has."""

    train: int
    test: int
    classes: int = 101
    test_per_class: int = 20


class Source(ABC):
    """Images from somewhere. ``name`` is the default name of what is made of them."""

    name: str
    counts: Counts | None = None  # what must come out; None: whatever there is
    settings: Collection[str] = ()  # the settings of a request that are used
    root: Path | None = None  # the folder of images that it reads, if it reads one: nothing may be written there

    @abstractmethod
    def identity(self) -> str:
        """Return a fingerprint of what will come out: the same again needs no work."""

    @abstractmethod
    def write(self, out: Path, spare: Path) -> None:
        """Write ``out/train`` and ``out/test``; ``spare`` is an empty folder on the same disk, deleted afterwards."""


class Shards(Source):
    """The folder with train-0..7.tar.xz, test.tar.xz and SHA256SUMS: JPEGs as they are."""

    name = "food101_64"
    counts = Counts(98_936, 2_020)

    def __init__(self, folder: Path):
        self.folder = folder

    def identity(self) -> str:
        return self.name

    def write(self, out: Path, spare: Path) -> None:
        shards = check_sums(self.folder / "SHA256SUMS")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            done = pool.map(lambda shard: unpack_tar(shard, out), shards)
            list(tqdm(done, total=len(shards), desc="unpacking", unit=" archives", leave=False, disable=None))


class TaskZip(Source):
    """The task's own archive: JPEGs as they are."""

    name = "food101_64"
    counts = Counts(98_936, 2_020)

    def __init__(self, file: Path, inside: str):
        self.file = file
        self.inside = inside  # path of the folder that holds train and test

    def identity(self) -> str:
        return self.name

    def write(self, out: Path, spare: Path) -> None:
        unpack_zip(self.file, spare)
        for split in ("train", "test"):
            if not (spare / self.inside / split).is_dir():
                raise DataError(f"{self.file} has no {self.inside}/{split}: get the task's archive again")
            shutil.move(spare / self.inside / split, out / split)


class Original(Source):
    """The original Food-101, resized and centre-cropped, as PNG. The test photos are the task's.

    The task left out 44 photos of its train split, and nothing says which: here train has all 98,980 that are not test.
    """

    counts = Counts(98_980, 2_020)
    settings = ("size",)

    def __init__(self, folder: Path, request: Request):
        self.root = folder
        self.size = request.size or 64
        self.name = f"food101_{self.size}"

    def identity(self) -> str:
        return fingerprint("original", self.size)

    def write(self, out: Path, spare: Path) -> None:
        images = ImageFolder(str(self.root / "images"), self.size)
        write_split(images, np.flatnonzero(np.isin(images.files, task_test_files())), out)


class OwnFolder(Source):
    """Anybody's folder of class folders (or a flat one): a test set is held out by the hash of the names; PNG."""

    settings = ("size", "val_per_class", "on_bad_image")

    def __init__(self, folder: Path, request: Request):
        self.root = folder
        self.size, self.on_bad_image = request.size or 64, request.on_bad_image or "error"
        self.per_class = request.val_per_class or 20
        self.name = f"{folder.resolve().name}_{self.size}"

    def identity(self) -> str:
        return fingerprint(list_images(self.root).key(), self.size, self.per_class, self.on_bad_image)

    def write(self, out: Path, spare: Path) -> None:
        images = ImageFolder(str(self.root), self.size, self.on_bad_image)
        write_split(images, held_out(images, self.per_class, setting="val_per_class"), out)


class OwnSplit(Source):
    """Anybody's folder that holds train and test (or val) already: resized and cropped, as PNG."""

    settings = ("size", "on_bad_image")

    def __init__(self, folder: Path, test: str, request: Request):
        self.root = folder
        self.folders = {"train": folder / "train", "test": folder / test}
        self.size, self.on_bad_image = request.size or 64, request.on_bad_image or "error"
        self.name = f"{folder.resolve().name}_{self.size}"

    def identity(self) -> str:
        keys = [list_images(folder).key() for folder in self.folders.values()]
        return fingerprint(*keys, self.size, self.on_bad_image)

    def write(self, out: Path, spare: Path) -> None:
        for split, folder in self.folders.items():
            images = ImageFolder(str(folder), self.size, self.on_bad_image)
            write_pngs(images, range(len(images)), out / split)


class OwnZip(Source):
    """A zip of what :class:`OwnFolder` or :class:`OwnSplit` takes, inside any number of folders."""

    settings = ("size", "val_per_class", "on_bad_image")

    def __init__(self, file: Path, request: Request):
        self.file, self.request = file, request
        self.name = f"{file.stem}_{request.size or 64}"

    def identity(self) -> str:
        stat = self.file.stat()
        return fingerprint(self.file.name, stat.st_size, stat.st_mtime_ns, self.request)

    def write(self, out: Path, spare: Path) -> None:
        unpack_zip(self.file, spare)
        own_images(unwrapped(spare), self.request).write(out, spare)


def task_test_files() -> list[str]:
    """List the task's test photos as the original Food-101 names them: ``apple_pie/1011328.jpg``."""
    lines = [line.split() for line in TEST_IDS.read_text().splitlines()]
    return [f"{name}/{number}.jpg" for name, *numbers in lines for number in numbers]


def find_source(request: Request) -> Source:
    """Tell what ``request.source`` is; downloads it when it is ``gdrive`` or ``torchvision``.

    Raises ``ConfigError`` when there is no such thing, or for a setting that it has no use for.
    """
    if request.source == "torchvision":
        return checked(Original(food101_folder(), request), request)
    path = task_zip() if request.source == "gdrive" else Path(request.source).expanduser()
    if path.is_dir():
        return folder_source(path, request)
    if not path.is_file():
        raise ConfigError(f"there is no {path}: source is a folder, a zip file, gdrive or torchvision")
    train = next((name for name in names_in_zip(path) if f"{TASK_FOLDER}/train/" in name), None)
    if train is None:
        return checked(OwnZip(path, request), request)
    return checked(TaskZip(path, train[: train.index("/train/")]), request)


def folder_source(folder: Path, request: Request) -> Source:
    """Tell what a folder on the disk is, by what lies in it."""
    if any(folder.glob("train-*.tar.xz")):
        return checked(Shards(folder), request)
    if (folder / "images").is_dir() and (folder / "meta").is_dir():
        return checked(Original(folder, request), request)
    return own_images(folder, request)


def own_images(folder: Path, request: Request) -> Source:
    """Take a folder of images, split already or not."""
    test = next((name for name in ("test", "val") if (folder / name).is_dir()), None)
    if test and (folder / "train").is_dir():
        return checked(OwnSplit(folder, test, request), request)
    return checked(OwnFolder(folder, request), request)


def checked(source: Source, request: Request) -> Source:
    """Return the source; an error when the request sets what it does not use."""
    for setting in ("size", "val_per_class", "on_bad_image"):
        if getattr(request, setting) is not None and setting not in source.settings:
            used = ", ".join(source.settings) or "none"
            raise ConfigError(f"{setting} does nothing for {request.source}: leave it out (settings that do: {used})")
    return source


def unwrapped(folder: Path) -> Path:
    """Go down while there is one folder only, and it holds folders itself: archives wrap what they hold."""
    while True:
        inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if len(inner) != 1 or not inner[0].is_dir() or not any(path.is_dir() for path in inner[0].iterdir()):
            return folder
        folder = inner[0]
