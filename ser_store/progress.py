"""Progress as an argument: library functions take a ``Progress``, the command line hands in a bar."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Wraps an iterable of ``total`` items of work called ``label``, and yields them unchanged."""

    def __call__(self, items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]: ...


def silent(items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]:
    """No progress is shown."""
    return items


def bar(items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]:
    """A bar on stderr for what takes over a second."""
    from tqdm import tqdm

    shown: Iterable[T] = tqdm(items, total=total, desc=label, delay=1.0, leave=False, dynamic_ncols=True)
    return shown
