"""Ways to keep pooled representations and logits on a disk: ours, and those that others would take.

A format writes a whole workload into an empty folder. Each of its reading methods begins with closed files, takes the
shortest way that the format's own library offers, and returns an array.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from measuring.library_formats import AnnDataFile, LhotseHdf5, LhotseLilcom, Zarr
from measuring.own_formats import SerstoreFolder, SerstorePacked
from measuring.plain_formats import GroupPerUtterance, Pickle, Savez
from measuring.workload import Workload

Array = NDArray[Any]


class Format(Protocol):
    """One way to keep a workload. ``libraries`` are the packages it needs; ``is_exact`` whether it keeps every bit."""

    name: str
    libraries: tuple[str, ...]
    is_exact: bool
    is_slow: bool

    def write(self, folder: Path, workload: Workload) -> None: ...

    def list_members(self, folder: Path) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of the logits of every member, ascending."""
        ...

    def read_logits(self, folder: Path, rows: NDArray[np.int32]) -> Array:
        """``(members, len(rows), n_classes)``"""
        ...

    def read_pooled(self, folder: Path, member: str) -> Array:
        """``(n, hidden)`` of one member."""
        ...

    def read_utterance(self, folder: Path, row: int) -> Array:
        """``(members, hidden)``: the pooled representation of one utterance by every member."""
        ...


FORMATS: tuple[Format, ...] = (
    SerstoreFolder(),
    SerstorePacked(),
    GroupPerUtterance(),
    Savez(),
    Pickle(),
    LhotseHdf5(),
    LhotseLilcom(),
    AnnDataFile(),
    Zarr(),
)
