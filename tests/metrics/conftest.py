"""What the tests of metrics share."""

from pathlib import Path

import pytest

from tests.fid_weights import random_weights, torch_home  # noqa: F401


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder for each test."""
    monkeypatch.setenv("MISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
