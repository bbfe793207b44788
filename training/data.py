"""The data of a run: what is trained on, what settings are chosen on, what the result is judged on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.base import ImageDataset
from datasets.leaks import Leak, check_no_overlap
from datasets.splits import Selection, drop_leaks, split_dev
from training.roles import Roles
from utils.errors import ConfigError, DataError
from utils.schema import settable_parameters

Say = Callable[[str], None]


@dataclass(frozen=True)
class Facts:
    """What models must know of the data. Stored in every checkpoint, so that sampling needs no data."""

    image_size: int  # pixels a side
    image_channels: int
    class_names: tuple[str, ...]  # sorted; label i is class_names[i]
    conditional: bool

    @property
    def num_classes(self) -> int:
        """Classes that models are told of; 0 is unconditional."""
        return len(self.class_names) if self.conditional else 0

    def offered(self) -> dict[str, int]:
        """The constructor arguments that the data fills in."""
        return {"image_size": self.image_size, "image_channels": self.image_channels, "num_classes": self.num_classes}

    def difference(self, data: "Facts") -> str:
        """Say in which setting a model of these facts differs from ``data``; nothing where it fits."""
        for key in ("image_size", "image_channels", "num_classes"):
            ours, theirs = getattr(self, key), getattr(data, key)
            if ours != theirs:
                return f"{key} {ours}, and the data's is {theirs}"
        odd = sorted(set(self.class_names) ^ set(data.class_names)) if self.conditional else []
        return f"another class: '{odd[0]}' is in one of the two only" if odd else ""

    @classmethod
    def of(cls, dataset: ImageDataset, conditional: bool) -> "Facts":
        channels, height, width = dataset.image_shape
        if height != width:
            raise DataError(f"images must be square, not {height}x{width}: set data.image_size")
        return cls(height, channels, tuple(dataset.class_names), conditional and bool(dataset.class_names))


OFFERED = ("image_size", "image_channels", "num_classes")


@dataclass(frozen=True)
class Data:
    train: ImageDataset
    dev: ImageDataset | None  # held out of the training images
    leaks: list[Leak]  # training files that show a photo of the test split or of the dev set, left out
    facts: Facts

    @property
    def mark(self) -> str:
        """How the names of a validation's figures begin: those of the test split say what they are."""
        return "val_test_" if self.dev is None else "val_"


def open_split(roles: Roles, split: str) -> ImageDataset:
    """Open the ``train`` or ``val`` split of the dataset that the config names."""
    data = roles.config.data
    offered: dict[str, Any] = {"image_size": data.image_size, "on_bad_image": data.on_bad_image, "split": split}
    key, folder = f"data.input_{split}_dir", getattr(data, f"input_{split}_dir")
    reads_folder = "root" in settable_parameters(roles.cls("dataset"))
    if reads_folder and not folder:
        raise ConfigError(f"{key} is missing: dataset {data.dataset} reads a folder")
    if folder and not reads_folder:
        raise ConfigError(f"{key} is set, but dataset {data.dataset} reads no folder: remove it")
    if reads_folder and not Path(folder).is_dir():
        raise DataError(
            f"{key}: {folder} is not a folder; `python3 -m datasets.prepare` makes one, or name your own by this key "
            f"(Food-101's configs: by FOOD101_DIR, the folder with train and test)"
        )
    return roles.build("dataset", root=folder, **offered)


def open_training_data(roles: Roles, say: Say) -> Data:
    """Open the training split without what shows a test photo and without the dev set.

    Raises :class:`DataError` when a folder is missing or unusable, or training and test folders overlap.
    """
    data = roles.config.data
    leaks: list[Leak] = []
    if data.input_train_dir and data.input_val_dir:
        check_no_overlap(data.input_train_dir, data.input_val_dir)
    train = open_split(roles, "train")
    if data.input_train_dir and data.input_val_dir:
        test = open_split(roles, "val")
        check_same_classes(train, test)
        train, leaks = drop_leaks(train, test)
        names = " (the run's left_out.txt names them)" if leaks else ""
        say(f"test photos in the training folder: {len(leaks)} files left out{names}")
    train, dev, of_dev = hold_out(train, data.dev_per_class)
    held = f", {len(dev)} held out to choose settings on, {len(of_dev)} that show one of these left out" if dev else ""
    say(f"{len(train)} training images{held}")
    if len(train) < 1:
        raise DataError("no training images are left: check data.input_train_dir and data.dev_per_class")
    return Data(train, dev, leaks + of_dev, Facts.of(train, data.conditional))


def open_held_out(roles: Roles, data: Data, say: Say) -> ImageDataset:
    """Return what a run in training is judged on: the dev set, or the test split where none is held out."""
    if data.dev is not None:
        return data.dev
    say("validation looks at the test split, so choose nothing by it: data.dev_per_class holds a dev set out")
    return open_split(roles, "val")


def hold_out(train: ImageDataset, per_class: int) -> tuple[ImageDataset, ImageDataset | None, list[Leak]]:
    """Take the fixed, class-balanced dev set out of the training images, and what shows one of its photos."""
    if per_class == 0:
        return train, None, []
    kept, dev, leaks = split_dev(train, per_class)
    return Selection(train, kept), Selection(train, dev), leaks


def check_same_classes(train: ImageDataset, test: ImageDataset) -> None:
    """The test split must have the training split's classes, or labels would mean different things."""
    if list(train.class_names) != list(test.class_names):
        odd = sorted(set(train.class_names) ^ set(test.class_names))
        raise DataError(
            f"training and test folders have different classes, '{odd[0]}' is in one of them only: give both the same"
        )
