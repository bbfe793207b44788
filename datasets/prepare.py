"""Makes a folder of images ready to train on: OUT/train/<class>/ and OUT/test/<class>/.

    python3 -m datasets.prepare source=SOURCE [out=FOLDER] [key=value ...]

source=DIR          the folder with train-*.tar.xz, test.tar.xz and SHA256SUMS: Food-101 at 64x64
source=FILE.zip     the task's archive (it holds food_data), or a zip of your own images
source=gdrive       fetches the task's archive (needs gdown)
source=torchvision  fetches the original Food-101 (5 GB), resizes and crops it: size=64
source=DIR          your own images: class folders, or images without classes, or either in train and test (or val);
                    size=64 pixels a side, val_per_class=20 test images of each class, on_bad_image=error or skip

out: data/food101_64, or data/NAME_SIZE for other images. A folder that exists is never written to.
"""

import shlex
import tempfile
from pathlib import Path

import numpy as np

from datasets.image_folder import list_images
from datasets.prepare_sources import Counts, Request, Source, find_source
from utils.cache import read_json, write_json
from utils.command import command_of
from utils.errors import DataError

RECORD = "prepared.json"  # beside train and test: what they were made from
Found = dict[str, np.ndarray]  # train, test: int64 [classes], how many images each class has


@command_of(Request)
def main(request: Request) -> None:
    source = find_source(request)
    out = Path(request.out or f"data/{source.name}").expanduser()
    made = prepare(source, out)
    print(f"{out} is {'ready' if made else 'there already'}:\n{table(count(out))}")
    words = (f"data.input_train_dir={out}/train", f"data.input_val_dir={out}/test")
    print(f"train on it with {shlex.join(words)}")


def prepare(source: Source, out: Path) -> bool:
    """Make ``out`` whole or not at all. Returns False when it is there already, made from the same.

    Raises ``DataError`` when ``out`` holds anything else, the source cannot be read, or images are missing.
    """
    if source.root and out.resolve().is_relative_to(source.root.resolve()):
        raise DataError(f"{out} lies inside of the source, {source.root}: name another folder by out=")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if is_complete(out, source):
            return False
        raise DataError(f"{out} exists already: name another folder by out=, or delete this one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as work:
            build(source, Path(work)).rename(out)
    except OSError as error:
        raise DataError(f"cannot make {out} ({error}): out= names another place") from error
    return True


def build(source: Source, work: Path) -> Path:
    """Let the source write into a folder inside ``work``, check what it wrote, and return that folder."""
    ready, spare = work / "ready", work / "spare"
    ready.mkdir()
    spare.mkdir()
    source.write(ready, spare)
    found = count(ready)
    if source.counts:
        check_counts(found, source.counts)
    write_json(ready / RECORD, record(source, found))
    return ready


def is_complete(out: Path, source: Source) -> bool:
    """Tell whether ``out`` is what the source would make. Food-101 may also have been unpacked by hand."""
    try:
        found = count(out)
        if source.counts:
            check_counts(found, source.counts)
    except DataError:
        return False
    by_hand = source.counts is not None and not (out / RECORD).exists()
    return by_hand or read_json(out / RECORD) == record(source, found)


def record(source: Source, found: Found) -> dict:
    return {"made_from": source.identity(), **{split: int(each.sum()) for split, each in found.items()}}


def count(folder: Path) -> Found:
    """Count the images of each class in ``folder/train`` and ``folder/test``; the two must have the same classes."""
    listings = {split: list_images(folder / split) for split in ("train", "test")}
    only = set(listings["train"].class_names) ^ set(listings["test"].class_names)
    if only:
        raise DataError(f"train and test have different classes ({min(only)} is in one only): both need the same")
    return {split: np.unique(listing.labels, return_counts=True)[1] for split, listing in listings.items()}


def check_counts(found: Found, expected: Counts) -> None:
    """Raise ``DataError`` when images of Food-101 are missing or too many."""
    train, test = found["train"], found["test"]
    totals = (int(train.sum()), int(test.sum()), len(test))
    if totals != (expected.train, expected.test, expected.classes) or (test != expected.test_per_class).any():
        raise DataError(
            f"the source has {totals[0]:,} train and {totals[1]:,} test images of {totals[2]} classes, and should have "
            f"{expected.train:,} and {expected.test:,} of {expected.classes}, "
            f"{expected.test_per_class} test images each: get it again"
        )


def table(found: Found) -> str:
    """Lay the counts out for people."""
    lines = [f"{'split':<6} {'images':>8} {'classes':>8}  images of a class"]
    for split, each in found.items():
        span = f"{each.min():,}" if each.min() == each.max() else f"{each.min():,} to {each.max():,}"
        lines.append(f"{split:<6} {each.sum():>8,} {len(each):>8}  {span}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
