"""Unpacking archives that somebody else made: nothing lands outside of the folder, and none grows without end."""

import hashlib
import lzma
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from utils.errors import DataError

MAX_GROWTH = 100  # unpacked bytes for each byte of the archive; photos hardly shrink
ALWAYS = 2**26  # bytes that any archive may unpack to: a few simple pictures shrink more than photos
APPLE = "__MACOSX"  # what macOS adds to a zip beside the files themselves


class Gate:
    """Looks at each member before it is unpacked. Raises ``DataError`` when the archive must not be unpacked."""

    def __init__(self, archive: Path):
        self.archive = archive
        self.left = MAX_GROWTH * archive.stat().st_size + ALWAYS  # bytes

    def check(self, name: str, size: int, plain: bool) -> None:
        """``plain``: the member is a file or a folder, not a link or a device; ``size``: bytes."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise DataError(
                f"{self.archive} would write outside of its folder ({name}): get it from a source you trust"
            )
        if not plain:
            raise DataError(f"{self.archive} holds a link or a device ({name}): get it from a source you trust")
        self.left -= size
        if self.left < 0:
            raise DataError(f"{self.archive} unpacks to more than {MAX_GROWTH} times its size: unpack it yourself")


def unpack_tar(archive: Path, folder: Path) -> None:
    """Unpack a tar file, compressed or not, into ``folder``."""
    gate = Gate(archive)

    def admit(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo:
        gate.check(member.name, member.size, member.isreg() or member.isdir())
        return tarfile.data_filter(member, destination)

    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter=admit)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(f"{archive} is damaged ({error}): get it again") from error


def unpack_zip(archive: Path, folder: Path) -> None:
    """Unpack a zip file into ``folder``, with a progress bar."""
    gate = Gate(archive)
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.filename.startswith(APPLE)]
            for member in members:
                kind = stat.S_IFMT(member.external_attr >> 16)
                gate.check(member.filename, member.file_size, kind in (0, stat.S_IFREG, stat.S_IFDIR))
            for member in tqdm(members, desc="unpacking", unit=" files", leave=False, disable=None):
                file.extract(member, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: it wants a password
        raise DataError(f"{archive} cannot be unpacked ({error}): get it again, or unpack it yourself") from error


def names_in_zip(archive: Path) -> list[str]:
    """List the members of a zip file; raises ``DataError`` when it is none."""
    try:
        with zipfile.ZipFile(archive) as file:
            return [name for name in file.namelist() if not name.startswith(APPLE)]
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is not a whole zip file ({error}): get it again, or unpack it yourself") from error


def check_sums(sums: Path) -> list[Path]:
    """Check the files beside a SHA256SUMS file and return them in its order.

    Raises ``DataError`` when the list or a file is missing, or a file is not the one that was summed.
    """
    if not sums.is_file():
        raise DataError(f"{sums} is missing: copy it together with the archives")
    files = []
    for line in filter(str.strip, sums.read_text(errors="replace").splitlines()):
        expected, _, name = line.partition(" ")
        files.append(sums.parent / name.strip().removeprefix("*"))
        if not files[-1].is_file():
            raise DataError(f"{files[-1]} is missing: SHA256SUMS lists it, copy it too")
        with open(files[-1], "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise DataError(f"{files[-1]} is damaged (its SHA-256 is not the one in SHA256SUMS): get it again")
    return files
