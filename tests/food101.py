"""The real data for tests, from where the README's variables say it lies; tests that need it are skipped without."""

import os
import tarfile
from pathlib import Path

import pytest


def unpacked(archives: list[Path], folder: Path) -> Path:
    for archive in archives:
        with tarfile.open(archive) as shard:
            shard.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def food101_test(tmp_path_factory) -> Path:
    """The folder of the test photos: ``$FOOD101_DIR/test``, or unpacked from ``$FOOD101_ARCHIVES`` (a second)."""
    if "FOOD101_DIR" in os.environ:
        return Path(os.environ["FOOD101_DIR"], "test")
    if "FOOD101_ARCHIVES" not in os.environ:
        pytest.skip("set FOOD101_DIR to a folder with train/ and test/, or FOOD101_ARCHIVES to that of the shards")
    shards = [Path(os.environ["FOOD101_ARCHIVES"], "test.tar.xz")]
    return unpacked(shards, tmp_path_factory.mktemp("food101")) / "test"


@pytest.fixture(scope="session")
def food101(tmp_path_factory) -> Path:
    """The folder with ``train/`` and ``test/``: ``$FOOD101_DIR``, or all shards unpacked (a minute)."""
    if "FOOD101_DIR" in os.environ:
        return Path(os.environ["FOOD101_DIR"])
    if "FOOD101_ARCHIVES" not in os.environ:
        pytest.skip("set FOOD101_DIR to a folder with train/ and test/, or FOOD101_ARCHIVES to that of the shards")
    shards = sorted(Path(os.environ["FOOD101_ARCHIVES"]).glob("*.tar.xz"))
    return unpacked(shards, tmp_path_factory.mktemp("food101_whole"))
