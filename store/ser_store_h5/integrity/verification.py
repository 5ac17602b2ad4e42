"""What a verification found, as a value."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ser_store_h5.findings import Problem

Watch = Callable[[list[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Verification:
    """What verification found.

    Attributes:
        files: number of files looked at.
        bytes: their sizes together.
        problems: what is wrong, by file.
        leftovers: files and folders of writers that were killed, and curves whose last line they tore; no reader looks
            at them, :func:`.sweeping.sweep` removes them.
        seconds: how long it took.
    """

    files: int
    bytes: int
    problems: tuple[Problem, ...]
    leftovers: tuple[str, ...]
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def rate(self) -> float:
        """Bytes verified in a second."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0
