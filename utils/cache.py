"""Things that are computed once and kept: where they lie, what they are keyed by, and how they are written."""

import json
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from utils.errors import DataError
from utils.files import whole_file


def cache_dir() -> Path:
    """The folder of everything that can be computed again: ``$MISE_CACHE``, or ``~/.cache/mise``."""
    return Path(os.environ.get("MISE_CACHE") or "~/.cache/mise").expanduser()


def fingerprint(*parts: Any) -> str:
    """Hash the parts, in order, to 32 hex digits. Parts are told apart: ("ab", "c") is not ("a", "bc")."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode(errors="surrogateescape")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` whole or not at all, also when two processes write at once; makes the folder.

    Raises ``OSError``: the caller knows which setting names another place.
    """
    with whole_file(path) as file:
        json.dump(value, file)


def read_json(path: Path) -> Any | None:
    """Return what ``path`` holds; None where there is no such file, or none that can be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def cached_json(name: str, key: str, compute: Callable[[], Any]) -> Any:
    """Return the value kept as ``name/key`` in the cache folder; the first time it is computed, and kept.

    Values are what JSON holds other than ``null``. ``key`` must be a fingerprint of all that the value depends on.
    Raises :class:`DataError` where the cache folder cannot be written.
    """
    path = cache_dir() / name / f"{key}.json"
    value = read_json(path)
    if value is None:
        value = compute()
        try:
            write_json(path, value)
        except OSError as error:
            raise DataError(f"cannot write {path} ({error}): set MISE_CACHE to a folder with room") from error
    return value
