"""Files that are written whole or not at all."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

TEMPORARY = ".tmp-"  # how names of unfinished files begin


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO]:
    """Open a new file that takes the name ``path`` only when it is complete and on the disk; makes the folder.

    Safe against a crash, a power cut, and another process that writes the same file. Raises ``OSError``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{uuid4().hex}{path.suffix}")
    try:
        with open(temporary, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    with suppress(OSError):  # some network file systems cannot
        sync_folder(path.parent)


class LineFile:
    """A file that lines are added to. What the disk refuses is kept, and written when it takes it."""

    def __init__(self, path: Path):
        self.path, self.waiting = path, b""

    def add(self, line: str) -> None:
        """Add a line, to be written next."""
        self.waiting += f"{line}\n".encode()

    def write(self) -> None:
        """Write what is waiting, all of it or nothing. Raises ``OSError``."""
        if not self.waiting:
            return
        with open(self.path, "ab", buffering=0) as file:
            end = os.fstat(file.fileno()).st_size
            written = file.write(self.waiting)
            if written != len(self.waiting):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self.waiting = b""

    def sync(self) -> None:
        """Make what is written survive a power cut."""
        if self.path.exists():
            with open(self.path, "rb") as file:
                os.fsync(file.fileno())


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, for libraries that open files themselves; then as :func:`whole_file`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{uuid4().hex}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    with suppress(OSError):
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def delete_unfinished(folder: Path) -> None:
    """Delete what a killed process left half-written in a folder that nobody else is writing to."""
    for path in folder.glob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)


def sha256_of(path: str | Path) -> str:
    """Hash a file, or the contents of a folder's files, in the order of their names. Raises ``OSError``."""
    path, digest = Path(path), hashlib.sha256()
    for part in sorted(filter(Path.is_file, path.iterdir())) if path.is_dir() else [path]:
        digest.update(part.read_bytes())
    return digest.hexdigest()
