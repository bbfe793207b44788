"""Work on all images of a dataset in threads: Pillow decodes and encodes outside of Python's lock."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LONG = 10_000  # images: work that is told of where there is no terminal for a bar


def map_chunks(function: Callable[[range], T], count: int, title: str, chunk: int = 256) -> Iterator[T]:
    """Yield ``function(rows)`` for ranges of ``chunk`` rows that cover 0 .. count - 1, in order, with a progress bar.

    The first error stops the work that has not begun and is raised here.
    """
    chunks = [range(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    if count >= LONG and not sys.stderr.isatty():
        print(f"{title}: {count:,} images", file=sys.stderr, flush=True)
    bar = tqdm(total=count, desc=title, unit=" images", leave=False, disable=None)  # None: off where no terminal is
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for rows, result in zip(chunks, pool.map(function, chunks)):
            bar.update(len(rows))
            yield result
