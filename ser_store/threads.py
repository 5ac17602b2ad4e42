"""Work on all cores by threads, for what leaves Python's lock: decoding, hashing, arithmetic."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ser_store.progress import Progress

T = TypeVar("T")
U = TypeVar("U")


def map_threaded(function: Callable[[T], U], items: Sequence[T], *, progress: Progress, label: str) -> list[U]:
    """``function`` of every item, in the order of the items."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        return list(progress(pool.map(function, items), total=len(items), label=label))
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the items not yet begun
