"""Progress as an argument: library functions take a ``Progress``, the command line hands in a bar."""

import sys
import time
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

DELAY_SECONDS = 1.0


class Progress(Protocol):
    """Wraps an iterable of ``total`` items of work called ``label``, and yields them unchanged."""

    def __call__(self, items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]: ...


def silent(items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]:
    """No progress is shown."""
    return items


def open_bar(*, total: int, label: str, unit: str = "it", done: int = 0) -> Any:
    """A tqdm bar on stderr that goes when it is closed; in a log file, a line every ten seconds."""
    from tqdm import tqdm

    interval = 0.1 if sys.stderr.isatty() else 10.0
    looks: dict[str, Any] = {"leave": False, "dynamic_ncols": True, "mininterval": interval, "miniters": 1}
    return tqdm(total=total, initial=done, desc=label, unit=unit, **looks)


def bar(items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]:
    """A bar on stderr, from the second second on; what takes less than one does not even load the library."""
    started = time.monotonic()
    shown = None
    try:
        for done, item in enumerate(items):
            if shown is None and time.monotonic() - started > DELAY_SECONDS:
                shown = open_bar(total=total, label=label, done=done)
            yield item
            if shown is not None:
                shown.update()
    finally:
        if shown is not None:
            shown.close()
