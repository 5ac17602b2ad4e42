"""Machine code from functions, kept on disk where there is a place to keep it.

Three decorators for three uses: ``compiled`` for what Python calls, ``compiled_inner`` for what only compiled code
calls, and ``compiled_inline`` for what becomes part of its caller, as a call would cost as much as its work.
"""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from numba import njit
from numba.core import event
from numba.core.caching import FunctionCache

from ser_store.common.log import LOGGER

P = ParamSpec("P")
R = TypeVar("R")

# Code kept on disk holds the code of what it calls, but numba keeps it until the caller's own file changes. With a
# digest of all files in its name, code of another state of any of them is not found.
_FILES = sorted(Path(__file__).parent.glob("*.py"))
_SOURCES = sha256(b"".join(source.read_bytes() for source in _FILES)).hexdigest()[:16]


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` as machine code, beside which other threads run."""
    return _compile(function)


def compiled_inner(function: Callable[P, R]) -> Callable[P, R]:
    """Return the same for calls from compiled code alone: calls from Python take a quarter of the compiler's time."""
    return _compile(function, no_cpython_wrapper=True)


def compiled_inline(function: Callable[P, R]) -> Callable[P, R]:
    """Return the same, as part of its caller."""
    return _compile(function, no_cpython_wrapper=True, forceinline=True)


def _compile(function: Callable[P, R], **options: bool) -> Callable[P, R]:
    function.__qualname__ += f"_{_SOURCES}"
    machine_code: Any = njit(nogil=True, no_cfunc_wrapper=True, error_model="numpy", **options)(function)
    try:
        # As njit(cache=True) does, with a cache of our own.
        machine_code._cache = _Cache(function)
    except RuntimeError:  # numba found no folder that it may write to
        _REPORTER.has_place = False
    typed: Callable[P, R] = machine_code
    return typed


class _Cache(FunctionCache):  # type: ignore[misc]  # numba ships no type information
    """Numba's cache, without which the search works as well: what cannot be read is compiled, and what cannot be
    written is not kept."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001  # unpickling what a full disk left of a file raises whatever it likes
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as problem:
            _REPORTER.report_loss(self.cache_path, problem)


class _Reporter(event.Listener):  # type: ignore[misc]  # as above
    """Says once that the search is being compiled, as soon as it is, and whether that is for the last time."""

    def __init__(self) -> None:
        self.has_place = True
        self._has_begun = self._has_lost = False

    def on_start(self, compilation: Any) -> None:
        if self._has_begun or not compilation.data["dispatcher"].py_func.__qualname__.endswith(_SOURCES):
            return
        self._has_begun = True
        if self.has_place:
            LOGGER.info("compiling the search, once, for some seconds")
        else:
            LOGGER.info(
                "compiling the search for some seconds, and each time: no folder can be written to that could keep "
                "the code; set NUMBA_CACHE_DIR to one"
            )

    def on_end(self, compilation: Any) -> None:
        """Do nothing: there is nothing to say."""

    def report_loss(self, folder: str, problem: OSError) -> None:
        if not self._has_lost:
            self._has_lost = True
            LOGGER.info("the compiled code is not kept (%s: %s): it will be compiled again", folder, problem.strerror)


_REPORTER = _Reporter()
event.register("numba:compile", _REPORTER)
