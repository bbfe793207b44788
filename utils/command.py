"""What every command of this project does with ``--help``, with errors a user can cause, and with Ctrl-C."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from utils.config import at_home, parse_overrides
from utils.errors import UserError
from utils.failures import first_to_say
from utils.schema import bind

P = ParamSpec("P")
T = TypeVar("T")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
NO_PLACE = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)  # a name that cannot be a folder's or a file's
INTERRUPTED = 130  # what a shell expects of a program that Ctrl-C ended
MEMORY_FIX = (
    "the GPU's memory is full: train.accumulate=2 (4, 8, ...) keeps the batch and works on it in parts, "
    "train.recompute=true keeps less of each image, where the network has blocks that can; "
    "in sampling lower data.val_batch_size"
)
CPU_MEMORY = "can't allocate memory"  # what PyTorch says of it, in a RuntimeError
CPU_MEMORY_FIX = (
    "the machine's memory does not hold this: lower data.image_size, data.train_batch_size or the model's width; "
    "in sampling data.val_batch_size or inference.num_images"
)


def command(main: Callable[P, None]) -> Callable[P, None]:
    """Make ``main`` a command: its module's docstring is the help, and an error that a user can cause is one line."""

    @wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(sys.modules[main.__module__].__doc__)
            return
        with errors_in_one_line():
            main(*args, **kwargs)

    return run


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Tell a :class:`UserError`, a full disk or memory and Ctrl-C on stderr, without a traceback, and exit.

    A bug keeps its traceback.
    """
    try:
        yield
    except UserError as error:
        leave(str(error), error.exit_status)
    except torch.OutOfMemoryError:
        leave(MEMORY_FIX, UserError.exit_status)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and CPU_MEMORY not in str(error):
            raise
        leave(CPU_MEMORY_FIX, UserError.exit_status)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in NO_ROOM + NO_PLACE:
            raise
        place = error.filename or "a file"
        leave(f"{place} cannot be written ({error.strerror}): make room, or name a folder of yours", 2)
    except KeyboardInterrupt:
        leave("stopped by Ctrl-C", INTERRUPTED)


def command_of(schema: type[T]) -> Callable[[Callable[[T], None]], Callable[[], None]]:
    """Make ``main(settings)`` a command: its words, ``key=value``, are bound to ``schema``; without any it is help."""

    def decorate(main: Callable[[T], None]) -> Callable[[], None]:
        @command
        @wraps(main)
        def run() -> None:
            if len(sys.argv) == 1:
                print(sys.modules[main.__module__].__doc__)
            else:
                main(bind(schema, at_home(parse_overrides(sys.argv[1:]))))

        return run

    return decorate


def leave(message: str, status: int) -> None:
    """Print the message as one line on stderr, once however many processes there are, and exit with ``status``."""
    line = " ".join(message.split())
    if first_to_say(line):
        print(f"error: {line}", file=sys.stderr, flush=True)
    sys.exit(status)
