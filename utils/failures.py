"""Several processes and one failure: it is said once, and nobody waits for the dead.

What the processes know of each other's end lies in the store that torchrun keeps, which outlives each of them.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256

from torch import distributed
from torch.distributed import DistError, DistStoreError, PrefixStore, Store, TCPStore

from utils.errors import UserError

LOST = ("gloo", "nccl", "connection")  # words of what PyTorch says when a process has gone
FAILURE = "failure"


class PeerError(UserError):
    """Another process has failed, so this one cannot go on."""

    exit_status = 5


def open_store() -> Store | None:
    """Return torchrun's store; None without torchrun, or where it does not answer."""
    if not distributed.is_torchelastic_launched():
        return None
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=10))
    except (DistError, RuntimeError):  # nobody keeps one yet, or any more
        return None
    return PrefixStore(f"failures {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def first_to_say(message: str) -> bool:
    """Tell whether no other process has said this: an error that all have in common is one line."""
    store = open_store()
    try:
        return store is None or store.add(sha256(message.encode()).hexdigest(), 1) == 1
    except (DistStoreError, RuntimeError):  # better twice than never
        return True


@contextmanager
def told_to_the_others() -> Iterator[None]:
    """Write an error down for the other processes; one that follows from it becomes a :class:`PeerError` about it."""
    try:
        yield
    except Exception as error:
        if distributed.is_torchelastic_launched():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends the others at once: the last words come first
        store = open_store()
        known = store is not None and store.check([FAILURE])
        if isinstance(error, UserError) or not lost_somebody(error):
            if store is not None and not known:
                store.set(FAILURE, f"process {os.environ['RANK']} has failed: {' '.join(str(error).split())}")
            raise
        said = store.get(FAILURE).decode() if known else "another process is gone: killed, or out of memory?"
        raise PeerError(f"{said}; the same command goes on from the last checkpoint") from error


def lost_somebody(error: Exception) -> bool:
    """Tell whether an error says that another process does not answer."""
    return isinstance(error, DistError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in LOST)
    )
