"""Fetching Food-101. What is fetched stays in the cache folder, so that it is fetched once."""

from pathlib import Path

from utils.cache import cache_dir
from utils.errors import DataError

DRIVE_ID = "1mDVacZimuy-4hWNylqlBDAO740Hup3W5"  # the task's zip


def task_zip() -> Path:
    """Return the task's archive, fetched from Google Drive unless it was before."""
    file = cache_dir() / "downloads" / "food_data.zip"
    if file.is_file():
        return file
    try:
        import gdown
    except ImportError:
        raise DataError("source=gdrive needs gdown: python3 -m pip install gdown") from None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fetched = gdown.download(id=DRIVE_ID, output=str(file))
    except Exception as error:  # of requests, of gdown, of the disk
        raise DataError(f"Google Drive gave no file ({error}): {_by_hand()}") from error
    if fetched is None:
        raise DataError(f"Google Drive gave no file: {_by_hand()}")
    return file


def _by_hand() -> str:
    return f"open https://drive.google.com/file/d/{DRIVE_ID} in a browser, and give source=FILE"


def food101_folder() -> Path:
    """Return the folder of the original Food-101 (images/, meta/): 5 GB, fetched by torchvision."""
    from torchvision.datasets import Food101

    root = cache_dir() / "downloads"
    try:
        root.mkdir(parents=True, exist_ok=True)
        Food101(str(root), download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"Food-101 could not be fetched ({error}): try again, or delete what is in {root}") from error
    return root / "food-101"
