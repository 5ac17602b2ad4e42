"""Progress as an argument: library functions take a ``Progress``, the command line hands in a bar."""

import time
from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")

DELAY_SECONDS = 1.0


class Progress(Protocol):
    """Wraps an iterable of ``total`` items of work called ``label``, and yields them unchanged."""

    def __call__(self, items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]: ...


def silent(items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]:
    """No progress is shown."""
    return items


def bar(items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]:
    """A bar on stderr, from the second second on; what takes less than one does not even load the library."""
    started = time.monotonic()
    shown = None
    try:
        for done, item in enumerate(items):
            if shown is None and time.monotonic() - started > DELAY_SECONDS:
                from tqdm import tqdm

                shown = tqdm(total=total, initial=done, desc=label, leave=False, dynamic_ncols=True)
            yield item
            if shown is not None:
                shown.update()
    finally:
        if shown is not None:
            shown.close()
