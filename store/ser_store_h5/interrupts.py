"""Ctrl-C while libhdf5 is at work: an exception raised in what it calls back, or frees, would be lost there."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def held_interrupts() -> Iterator[Callable[[], None]]:
    """Keep a SIGINT until the block ends. Yields a function that lets one that came happen at once."""
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield lambda: None  # interrupts happen in the main thread only
        return
    handler, came = usual, list[tuple[int, Any]]()

    def let_happen() -> None:
        if came:
            handler(*came.pop())

    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield let_happen
    finally:
        signal.signal(signal.SIGINT, usual)
        let_happen()
