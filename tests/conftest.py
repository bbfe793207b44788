"""What all tests share."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory):
    """Tests keep nothing in the user's cache folder, and find nothing there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
