"""Ctrl-C while libhdf5 is at work: an exception raised in what it calls back, or frees, would be lost there."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Those whose handlers may raise: Ctrl-C, and what schedulers and time limits send.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGBREAK")


@contextmanager
def held_interrupts() -> Iterator[Callable[[], None]]:
    """Keep signals that Python handles until the block ends. Yields a function that lets those that came happen now."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # handlers run in the main thread only
        return
    found = {number: signal.getsignal(number) for number in map(_find_number, _NAMES) if number is not None}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    came: list[tuple[int, Any]] = []

    def let_happen() -> None:
        while came:
            number, frame = came.pop(0)
            handlers[signal.Signals(number)](number, frame)

    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: came.append((number, frame)))
        yield let_happen
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        let_happen()


def _find_number(name: str) -> signal.Signals | None:
    return getattr(signal, name, None)
