"""Ctrl-C while a command's imports are running, which take seconds: it ends without a traceback.

To be imported first. Python then dies by the signal, which a shell shows as status 130. Once the command itself runs,
``utils/command.py`` answers to Ctrl-C.
"""

import sys
from types import TracebackType


def quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say nothing of Ctrl-C, and of every other uncaught error what was said before."""
    if not issubclass(kind, KeyboardInterrupt):
        loudly(kind, error, trace)


loudly, sys.excepthook = sys.excepthook, quietly
