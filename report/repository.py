"""What may not lie in a repository that others read: photos of the dataset, weights and archives, keys."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from report.handed_in import Point, listed

PHOTOS = {".jpg", ".jpeg", ".webp", ".heic"}  # generated pictures here are PNG: a JPEG is somebody's photo
PICTURES = {*PHOTOS, ".png", ".gif"}
PICTURE_PLACES = {"report", "docs", "checkpoints"}
LARGEST_PICTURE = 10_000_000  # bytes
MANY = 100  # pictures in one folder are a dataset
ARCHIVES = {".tar", ".gz", ".xz", ".zip", ".npz", ".npy", ".pt", ".pth", ".ckpt", ".pkl", ".wandb"}
WEIGHTS_PLACE = "checkpoints"
KEYS = {
    "a key of W&B or another service": re.compile(
        r"(?i)(api_?key|wandb_key|secret|token|password)['\"]?\s*[:=]\s*['\"]?(?=[\w-]*\d)[\w-]{32,}"
    ),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a token of GitHub": re.compile(r"\b(gh[opsu]_\w{36}|github_pat_\w{50,})"),
    "a token of Hugging Face": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "a key of AWS": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
}
FORGET = "git rm --cached it, and take it out of the history (git filter-repo) before others see it"


def points(root: Path) -> Iterator[Point]:
    """Look at what git keeps. These are rules of thumb: names, sizes and patterns; in the history names only."""
    try:
        tracked = git(root, "ls-files")
        ever = git(root, "log", "--all", "--diff-filter=A", "--name-only", "--format=")
    except (OSError, subprocess.CalledProcessError):
        yield Point("it is a git repository", "git init, and commit what you hand in")
        return
    yield Point("no photos in git", listed(f"{FORGET}:", photos(root, tracked)))
    yield Point("no photos in git's history", listed(f"{FORGET}:", sorted({name for name in ever if is_photo(name)})))
    yield Point("no data, archives or runs in git", listed(f"{FORGET}:", archives(tracked)))
    yield Point("no keys in git", listed("take it out and revoke it:", keys(root, tracked)))


def git(root: Path, *words: str) -> list[str]:
    done = subprocess.run(["git", *words, "-z"], cwd=root, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name]


def is_photo(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PHOTOS


def photos(root: Path, tracked: list[str]) -> list[str]:
    """Name pictures that look like photos: by their format, their place, their size, or their number."""
    pictures = [PurePosixPath(name) for name in tracked if PurePosixPath(name).suffix.lower() in PICTURES]
    found = [str(path) for path in pictures if is_photo(path.name) or path.parts[0] not in PICTURE_PLACES]
    found += [str(path) for path in pictures if size(root / path) > LARGEST_PICTURE]
    many = Counter(path.parent for path in pictures)
    return sorted({*found, *(f"{folder}/ ({count} pictures)" for folder, count in many.items() if count > MANY)})


def size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def archives(tracked: list[str]) -> list[str]:
    paths = [PurePosixPath(name) for name in tracked]
    return [str(path) for path in paths if path.suffix.lower() in ARCHIVES and path.parts[0] != WEIGHTS_PLACE]


def keys(root: Path, tracked: list[str]) -> list[str]:
    """Name the files that seem to hold a key, and what kind; never the key."""
    found = []
    for name in tracked:
        try:
            text = (root / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        found += [f"{name} ({kind})" for kind, pattern in KEYS.items() if pattern.search(text)]
    return found


def python_stated(root: Path) -> Point:
    """The Python version stands where people look for it."""
    files = [root / name for name in ("README.md", "requirements.txt")]
    stated = [path.name for path in files if path.exists() and re.search(r"Python 3\.\d+", path.read_text())]
    fix = "" if stated else "write 'Python 3.x' into README.md or the head of requirements.txt"
    return Point("the Python version is stated", fix)
