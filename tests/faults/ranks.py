"""One of several processes: ``torchrun ... -m tests.faults.ranks FATE FOLDER CONFIG``; the second meets its fate.

Its config also names another folder for runs than the first one's, so that whatever it writes is found.
"""

import os
import signal
import sys
from pathlib import Path

import train
from tests.runs import words
from training.losses.gan import SoftplusGen
from training.losses.registry import gen_losses_registry

FATE, FOLDER, CONFIG = sys.argv[1:]
RANK = int(os.environ["RANK"])


@gen_losses_registry.add_to_registry(name="fateful_softplus")
class FatefulSoftplus(SoftplusGen):
    calls = 0

    def __call__(self, outcome):
        FatefulSoftplus.calls += 1
        loss = super().__call__(outcome)
        if RANK == 1 and FatefulSoftplus.calls == 5:
            if FATE == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if FATE == "raises":
                raise RuntimeError("the fan is on fire")
            loss = loss + float("inf")  # with a gradient that is finite
        return loss


train.main(words(Path(CONFIG), Path(FOLDER) / f"runs{RANK}"))
