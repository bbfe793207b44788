"""What the tests of datasets make and look at."""

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.prepare_sources import Request, Source, find_source


def photo(seed: int, size: int = 16) -> Image.Image:
    """A picture with large shapes and full contrast; every seed another."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def source(**settings) -> Source:
    """What `python3 -m datasets.prepare` takes a source and settings for."""
    return find_source(Request(**settings | {"source": str(settings["source"])}))


def files(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, hidden ones too, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def zipped(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in files(folder).items():
            file.writestr(f"{prefix}{name}", data)
    return archive
