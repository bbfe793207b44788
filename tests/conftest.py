"""What all tests share: nothing of the user's is read, nothing goes over the network, and two cores are enough."""

import signal

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory):
    """Tests keep nothing in the user's cache folder, and find nothing there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_is_heard():
    """A shell's background jobs ignore it, and so would every process that the tests start."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Sums are then made in one order, and tests that run side by side do not fight for the cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def nobody_is_told(tmp_path_factory):
    """W&B stays offline and quiet, knows no key, and keeps its files among those of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_KEY", "WANDB_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("NETRC", str(tmp_path_factory.mktemp("login") / "netrc"))
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield
