"""The small part of a run that a repository can hold: logs, a grid, some samples. No photo, no path of the machine."""

import os
from pathlib import Path

import torch
from PIL import Image

from utils.errors import DataError
from utils.files import whole_path
from utils.images import image_grid, labelled_grid, to_hwc

ROOT = Path(__file__).parents[1]
LOGS = ("config.yaml", "metrics.jsonl", "timing.jsonl", "environment.jsonl", "alarms.jsonl", "left_out.txt")
NEEDED = LOGS[:4]
VARIABLES = ("FOOD101_DIR", "FID_WEIGHTS", "FOOD101_ARCHIVES", "MISE_CACHE", "HOME")
ROWS, COLUMNS = 8, 5  # of the kept grid: classes, images of each
PADDING = 2  # pixels between images
WANTED = 96  # pixels of an image in a kept picture: of 32 pixels, each is three
COLOURS = 64  # of a kept picture, so that it stays under 60 KB


def keep_run(run: Path, made: Path, kept: Path, out: Path) -> None:
    """Copy a run's small logs, and the numbers and pictures of its evaluation ``made``, to ``kept``.

    ``metrics.json`` comes last: a folder that holds it is whole. Raises :class:`DataError` when a log is missing.
    """
    for name in LOGS:
        if (run / name).exists():
            write(kept / name, sanitised((run / name).read_text(), out))
        elif name in NEEDED:
            raise DataError(f"{run} holds no {name}: train it first")
    rows = [(name, torch.stack([read(path) for path in paths])) for name, paths in by_class(made / "images")]
    if rows[0][0]:
        save(labelled_grid(rows, enlargement(rows[0][1])), kept / "grid.png")
    else:
        save(large_grid(torch.cat([images for _, images in rows]), COLUMNS), kept / "grid.png")
    save(large_grid(torch.stack([images[0] for _, images in rows]), len(rows)), kept / "samples.png")
    keep_evaluation(made, kept, "metrics", out)


def keep_evaluation(made: Path, kept: Path, name: str, out: Path) -> None:
    """Copy the numbers of one evaluation, with their origin."""
    write(kept / f"{name}.json", sanitised((made / "metrics.json").read_text(), out))


def by_class(folder: Path) -> list[tuple[str, list[Path]]]:
    """Choose the first images of evenly chosen classes, by class; of a folder without classes, rows without names."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    if not classes:
        files = sorted(folder.glob("*.png"))[: ROWS * COLUMNS]
        return [("", files[row : row + COLUMNS]) for row in range(0, len(files), COLUMNS)]
    chosen = torch.linspace(0, len(classes) - 1, min(ROWS, len(classes))).round().int().tolist()
    return [(classes[index].name, sorted(classes[index].glob("*.png"))[:COLUMNS]) for index in chosen]


def read(path: Path) -> torch.Tensor:
    """Read a PNG as uint8 [3, H, W]."""
    with Image.open(path) as image:
        pixels = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
        return pixels.view(image.height, image.width, 3).permute(2, 0, 1)


def enlargement(images: torch.Tensor) -> int:
    """Return how many pixels wide a pixel is shown, so that small images [N, C, H, W] can be looked at."""
    return max(WANTED // images.shape[-1], 1)


def large_grid(images: torch.Tensor, columns: int) -> torch.Tensor:
    """Lay uint8 images [N, 3, H, W] out, enlarged by whole pixels. Returns uint8 [3, H', W']."""
    scale = enlargement(images)
    return image_grid(images.repeat_interleave(scale, -1).repeat_interleave(scale, -2), columns, PADDING)


def save(picture: torch.Tensor, path: Path, colours: int | None = COLOURS) -> None:
    """Write a picture, uint8 [3, H, W], as PNG in a palette of so many colours, for a third of the size."""
    image = Image.fromarray(to_hwc(picture))
    with whole_path(path) as temporary:
        (image.quantize(colours) if colours else image).save(temporary, "PNG", optimize=True)


def write(path: Path, text: str) -> None:
    with whole_path(path) as temporary:
        temporary.write_text(text)


def sanitised(text: str, out: Path) -> str:
    """Replace the folders of this machine by the names of the variables that say where they are."""
    places = {os.environ[name]: f"${name}" for name in VARIABLES if os.environ.get(name)}
    places |= {str(out): "$OUT", str(ROOT) + "/": ""}
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place]) if len(place) > 1 else text
    return text
