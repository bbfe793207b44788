"""What every command of this project does with ``--help``, with errors a user can cause, and with Ctrl-C."""

import errno
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from utils.config import parse_overrides
from utils.errors import UserError
from utils.failures import first_to_say
from utils.schema import bind

P = ParamSpec("P")
T = TypeVar("T")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
INTERRUPTED = 130  # what a shell expects of a program that Ctrl-C ended
MEMORY_FIX = (
    "the GPU's memory is full: train.accumulate=2 (4, 8, ...) keeps the batch and works on it in parts, "
    "train.recompute=true keeps less of each image, where the network has blocks that can; "
    "in sampling lower data.val_batch_size"
)


def command(main: Callable[P, None]) -> Callable[P, None]:
    """Make ``main`` a command: its module's docstring is the help, and an error that a user can cause is one line.

    A :class:`UserError`, a full disk or a full GPU is told on stderr, without a traceback; a bug keeps its own.
    """

    @wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(sys.modules[main.__module__].__doc__)
            return
        try:
            main(*args, **kwargs)
        except UserError as error:
            leave(str(error), error.exit_status)
        except torch.OutOfMemoryError:
            leave(MEMORY_FIX, UserError.exit_status)
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            place = error.filename or "a file"
            leave(f"{place} cannot be written ({error.strerror}): make room, or name a folder of yours", 2)
        except KeyboardInterrupt:
            leave("stopped by Ctrl-C", INTERRUPTED)

    return run


def command_of(schema: type[T]) -> Callable[[Callable[[T], None]], Callable[[], None]]:
    """Make ``main(settings)`` a command: its words, ``key=value``, are bound to ``schema``; without any it is help."""

    def decorate(main: Callable[[T], None]) -> Callable[[], None]:
        @command
        @wraps(main)
        def run() -> None:
            if len(sys.argv) == 1:
                print(sys.modules[main.__module__].__doc__)
            else:
                main(bind(schema, parse_overrides(sys.argv[1:])))

        return run

    return decorate


def leave(message: str, status: int) -> None:
    """Print the message as one line on stderr, once however many processes there are, and exit with ``status``."""
    line = " ".join(message.split())
    if first_to_say(line):
        print(f"error: {line}", file=sys.stderr, flush=True)
    sys.exit(status)
