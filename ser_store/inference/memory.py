"""Memory: how much there is, the most that was taken, and the C library's heap.

On a CPU, what a step frees is kept for the next one, not given back and asked for again. A training step frees all its
activations. glibc maps each large one anew, and the kernel fills every page with zeros once more: 25% of the CPU time
of a small backbone's step, 13% of hubert-base's. Kept, they take 15% more memory.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from ser_store.errors import require

# mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_DEFAULT_MMAP_MAX = 65_536
# What glibc's own thresholds grow to once a few large blocks have been freed.
_GROWN_MMAP_THRESHOLD = 32 << 20

# As the heap itself, it belongs to the process.
_is_kept = threading.Event()


@contextmanager
def kept_heap() -> Iterator[None]:
    """Keep freed memory with the process for a while, where it computes on the CPU under glibc.

    It does so until memory runs out, and somebody calls :func:`give_back_freed`.
    """
    if not _is_of_use():
        yield
        return
    _keep_freed()
    try:
        yield
    finally:
        give_back_freed()
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def lent_heap() -> Iterator[None]:
    """Give freed memory back for a while, within :func:`kept_heap`."""
    was_kept = _is_kept.is_set()
    give_back_freed()
    try:
        yield
    finally:
        if was_kept:
            _keep_freed()


def give_back_freed() -> None:
    """Give freed memory back from now on, as glibc does by itself."""
    if not _is_kept.is_set():
        return
    _is_kept.clear()
    _set(
        (_MMAP_MAX, _DEFAULT_MMAP_MAX),
        (_MMAP_THRESHOLD, _GROWN_MMAP_THRESHOLD),
        (_TRIM_THRESHOLD, 2 * _GROWN_MMAP_THRESHOLD),
    )


def _keep_freed() -> None:
    """Map no block of its own, and never shorten the heap."""
    _is_kept.set()
    _set((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1))


def _is_of_use() -> bool:
    has_glibc = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
    return has_glibc and not torch.cuda.is_available()


def _set(*options: tuple[int, int]) -> None:
    for name, value in options:
        ctypes.CDLL(None).mallopt(name, value)


def find_available_memory() -> int:
    """Return the bytes that the device has for each of the processes that share it."""
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    whole = require("psutil").virtual_memory().total  # accelerate brings it
    return int(whole) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def find_free_memory() -> int:
    """Return the bytes of the host's memory that nobody uses."""
    return int(require("psutil").virtual_memory().available)


def reset_peak_memory() -> None:
    """Have :func:`read_peak_memory` begin anew."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/clear_refs").write_text("5")


def read_peak_memory() -> int:
    """Return the most bytes that torch reserved on the GPU, or that were resident of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return int(require("psutil").Process().memory_info().rss)
