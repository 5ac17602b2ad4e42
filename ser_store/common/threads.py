"""Threads: work on all cores for what leaves Python's lock, such as decoding and hashing; and those of torch."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from ser_store_h5.progress import Progress

T = TypeVar("T")
U = TypeVar("U")


@functools.cache
def open_pool(process: int, name: str, size: int) -> ThreadPoolExecutor:
    """Open threads that stay for the next call: Python waits for ever for a new one that finds no memory to begin with.

    Args:
        process: the id of this one, since one that was forked has none of its parent's threads.
        name: what they are for; work that waits for other work takes another pool than that.
        size: how many there are at most.
    """
    return ThreadPoolExecutor(size, thread_name_prefix=name)


def map_threaded(function: Callable[[T], U], items: Sequence[T], *, progress: Progress, label: str) -> list[U]:
    """Call ``function`` with every item in several threads; returns its results in the order of the items."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        return list(progress(pool.map(function, items), total=len(items), label=label))
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the items not yet begun


@contextmanager
def single_torch_thread() -> Iterator[None]:
    """Let torch compute in the calling thread alone; afterwards as before."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
