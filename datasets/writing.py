"""Images of any kind written as PNG of one size: nothing is lost after the resize."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from datasets.image_folder import ImageFolder
from datasets.parallel import map_chunks


def write_split(images: ImageFolder, test_rows: np.ndarray, out: Path) -> None:
    """Write the images of ``test_rows`` to ``out/test`` and all others to ``out/train``."""
    train_rows = np.setdiff1d(np.arange(len(images)), test_rows)
    for split, rows in (("train", train_rows), ("test", test_rows)):
        write_pngs(images, rows, out / split)


def write_pngs(images: ImageFolder, rows: Sequence[int], out: Path) -> None:
    """Write the images of ``rows`` to ``out``, in the same class folders under the same names but for the suffix."""
    targets = [out / name for name in png_names([images.files[row] for row in rows])]
    for folder in {out, *(target.parent for target in targets)}:
        folder.mkdir(parents=True, exist_ok=True)

    def write(chunk: range) -> None:
        for i in chunk:
            images.picture(rows[i]).save(targets[i])

    for _ in map_chunks(write, len(rows), f"writing {out.name}"):
        pass


def png_names(files: Sequence[str]) -> list[str]:
    """Change the suffix to .png; where a.jpg and a.webp stand side by side they become a.jpg.png and a.webp.png."""
    changed = [str(PurePosixPath(file).with_suffix(".png")) for file in files]
    times = Counter(changed)
    return [name if times[name] == 1 else f"{file}.png" for file, name in zip(files, changed)]
