"""HDF5 files of any size, written to the disk as they grow: packs, and what comes out of them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any

import h5py

from ser_store_h5.disk.atomic import write_all
from ser_store_h5.hdf5.files import LIBRARY_VERSION, held_interrupts, write_format
from ser_store_h5.hdf5.seal import SEAL_BYTES, HashedBody


@contextmanager
def create_file(path: Path, *, format_name: str, version: int) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """A new sealed file at ``path``, written to the disk as it grows, and flushed when the block ends.

    Yields:
        The file, and a function that raises what the disk has refused so far, for those who write much.

    Raises:
        OSError: where the block ends, if the disk has refused anything.
    """
    with path.open("w+b", buffering=0) as disk:
        patient = _PatientFile(disk)
        with held_interrupts() as let_interrupt:

            def check() -> None:
                let_interrupt()
                patient.check()

            with h5py.File(patient, "w", libver=LIBRARY_VERSION, userblock_size=SEAL_BYTES) as file:
                write_format(file, format_name, version)
                yield file, check
        patient.check()
    _seal_in_place(path)


class _PatientFile(RawIOBase):
    """A file that never refuses libhdf5 anything: the first problem is kept for later, and after it nothing is written.

    Where a disk refuses, libhdf5 can neither close its file nor forget it. What was not written reads as zeros.
    """

    def __init__(self, disk: Any) -> None:
        super().__init__()
        self._disk, self._end = disk, 0
        self._problem: BaseException | None = None

    def check(self) -> None:
        """Raise the problem, if there is one."""
        if self._problem is not None:
            raise self._problem

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._disk.seek(self._end, os.SEEK_SET) if whence == os.SEEK_END else self._disk.seek(offset))

    def tell(self) -> int:
        return int(self._disk.tell())

    def write(self, content: Any) -> int:
        rest = memoryview(content).cast("B")
        self._end = max(self._end, self._disk.tell() + len(rest))
        try:
            while self._problem is None and rest:  # a disk that fills up takes a part first, and refuses the rest
                rest = rest[self._disk.write(rest) :]
        except BaseException as problem:  # noqa: BLE001 - libhdf5 forgets some, and the file would be sealed without it
            self._problem = problem
        return len(content)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = self._disk.readinto(view)
        view[found:] = bytes(len(view) - found)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        size = self._end if size is None else size
        self._end = size
        try:
            if self._problem is None:
                self._disk.truncate(size)
        except OSError as problem:
            self._problem = problem
        return size

    def flush(self) -> None:
        """Nothing is held back."""


def _seal_in_place(path: Path) -> None:
    """Seal a file whose HDF5 data stand on the disk already, behind the room for a seal, and flush it to the disk."""
    with path.open("r+b", buffering=0) as file:
        file.seek(SEAL_BYTES)
        seal = HashedBody(file).finish()
        file.seek(0)
        write_all(file.fileno(), seal)
        os.fsync(file.fileno())
