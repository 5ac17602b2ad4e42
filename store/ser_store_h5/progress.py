"""Progress of what takes a while: the ``progress`` that every public function takes, and the bar it may show."""

import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

DELAY_SECONDS = 1.0
# Between the lines of a log file.
_LOG_SECONDS = 10.0


class Progress(Protocol):
    """Wraps an iterable of ``total`` items of work called ``label``, and yields them unchanged.

    Any function of your own will do, such as one around ``tqdm`` or ``rich.progress.track``.
    """

    def __call__(self, items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]: ...


def silent(items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]:
    """Show no progress."""
    return items


ProgressLike = bool | Progress
"""True for a bar on stderr, False for nothing, or a function that is called as a :class:`Progress`."""


def to_progress(progress: ProgressLike) -> Progress:
    """Return the function that a public function's ``progress`` means.

    >>> to_progress(False) is silent, to_progress(True) is bar
    (True, True)
    """
    if isinstance(progress, bool):
        return bar if progress else silent
    return progress


def open_bar(*, total: int, label: str, unit: str = "it", done: int = 0) -> Any:
    """Return a tqdm bar on stderr that goes when it is closed; in a log file, a line every ten seconds."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]  # tqdm ships no types
        monitor_interval = 0  # no thread of its own; it would look after bars whose items come in bursts

    class Log(Bar):
        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if msg is None:
                self.fp.write(f"{self}\n")
                self.fp.flush()

        def close(self) -> None:
            self.disable = True
            self._decr_instances(self)

    looks: dict[str, Any] = {"total": total, "initial": done, "desc": label, "unit": unit, "miniters": 1}
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Bar(**looks, leave=False, dynamic_ncols=True, mininterval=0.1)
    form = "{desc}: {n_fmt}/{total_fmt}, {elapsed} passed, {remaining} left{postfix}"
    return Log(**looks, bar_format=form, mininterval=_LOG_SECONDS, delay=_LOG_SECONDS)


def bar(items: Iterable[T], /, *, total: int, label: str) -> Iterable[T]:
    """Return a bar on stderr, from the second second on; what takes less than one does not even load the library."""
    shown = _LateBar(total=total, label=label)
    try:
        for item in items:
            yield item
            shown.advance()
    finally:
        shown.close()


class _LateBar:
    """Opens a bar by the clock, so that it also shows while the first item takes its time, compiling for instance."""

    def __init__(self, *, total: int, label: str) -> None:
        self._total, self._label = total, label
        self._done = 0
        self._bar: Any = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(DELAY_SECONDS, self._open)
        self._timer.daemon = True
        self._is_closed = False
        with suppress(RuntimeError):  # no memory for a thread: nothing is shown
            self._timer.start()

    def _open(self) -> None:
        with self._lock:
            if not self._is_closed:
                self._bar = open_bar(total=self._total, label=self._label, done=self._done)

    def advance(self) -> None:
        with self._lock:
            self._done += 1
            if self._bar is not None:
                self._bar.update()

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._is_closed = True
            if self._bar is not None:
                self._bar.close()
