"""HDF5 files of this format: sealed, with checksummed metadata. libhdf5 writes them; they are read without it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_store_h5.disk.atomic import stated_disk_problems
from ser_store_h5.disk.interrupts import held_interrupts
from ser_store_h5.errors import FormatError, IntegrityError, SerstoreError
from ser_store_h5.hdf5.attributes import write_text
from ser_store_h5.hdf5.bytes import DamageError, FileBytes, StructureError
from ser_store_h5.hdf5.groups import Group
from ser_store_h5.hdf5.objects import read_object
from ser_store_h5.hdf5.seal import SEAL_BYTES, open_sealed, seal_in_place

if TYPE_CHECKING:
    import h5py

# Superblock 3 and object header 2, whose metadata carry checksums, readable by every libhdf5 since 1.10.
LIBRARY_VERSION = ("v110", "v110")


@contextmanager
def create_file(
    path: Path, *, bears: Path, format_name: str, version: int
) -> "Iterator[tuple[h5py.File, Callable[[], None]]]":
    """A new sealed file at ``path``, written to the disk as it grows, and flushed when the block ends.

    Args:
        bears: the name it will have, for messages.

    Yields:
        The file, and a function that raises what the disk has refused so far, for those who write much.

    Raises:
        StoreError: where the block ends, if the disk has refused anything.
    """
    import h5py  # takes longer to import than most stores to read

    with path.open("w+b", buffering=0) as disk:
        patient = _PatientFile(disk, bears)
        with held_interrupts() as let_interrupt:

            def check() -> None:
                let_interrupt()
                patient.check()

            with h5py.File(patient, "w", libver=LIBRARY_VERSION, userblock_size=SEAL_BYTES) as file:
                write_format(file, format_name, version)
                yield file, check
        patient.check()
    seal_in_place(path)


class _PatientFile(RawIOBase):
    """A file that never refuses libhdf5 anything: the first problem is kept for later, and after it nothing is written.

    Where a disk refuses, libhdf5 can neither close its file nor forget it. What was not written reads as zeros.
    """

    def __init__(self, disk: Any, bears: Path) -> None:
        super().__init__()
        self._disk, self._bears = disk, bears
        self._end = 0
        self._problem: BaseException | None = None

    def check(self) -> None:
        """
        Raises:
            StoreError: if the disk has refused anything.
        """
        if self._problem is not None:
            with stated_disk_problems(self._bears):
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


def write_format(target: "h5py.Group", format_name: str, version: int) -> None:
    write_text(target, "format", format_name)
    target.attrs["format_version"] = np.int32(version)


@contextmanager
def stated_damage(where: str) -> Iterator[None]:
    """What is wrong with the bytes of ``where`` becomes one line.

    Raises:
        FormatError: for what FORMAT.md does not allow.
        IntegrityError: for damaged bytes.
    """
    try:
        yield
    except SerstoreError:
        raise
    except FileNotFoundError:
        raise FormatError(f"{where}: no such file") from None
    except (OSError, DamageError) as problem:
        detail = getattr(problem, "strerror", None) or str(problem)
        raise IntegrityError(f"{where}: cannot be read ({detail}); restore the file from a copy") from problem
    except StructureError as problem:
        raise FormatError(
            f"{where}: is not made as FORMAT.md says ({problem}); restore the file from a copy"
        ) from problem


@contextmanager
def open_file(path: Path, *, format_name: str, version: int) -> Iterator[Group]:
    """Open for reading.

    Raises:
        FormatError: for another format, or a version newer than this release reads.
        IntegrityError: for damaged bytes.
    """
    with stated_damage(str(path)), open_sealed(path) as (handle, _):
        file = FileBytes(handle, os.fstat(handle).st_size)
        root = Group(file, read_object(file, file.find_root()), str(path))
        check_format(root, format_name, version)
        yield root


def check_format(group: Group, format_name: str, version: int) -> None:
    """Refuse another format, and a version newer than this release reads."""
    found = group.text("format")
    if found != format_name:
        raise FormatError(f"{group.where}: is of format {found!r}: expected {format_name!r}")
    found_version = group.integer("format_version")
    if found_version > version:
        raise FormatError(
            f"{group.where}: has format version {found_version}, written by {group.text('written_by')}: this release "
            f"reads up to {version}; upgrade with pip install -U ser-store"
        )
    if found_version < 1:
        raise FormatError(f"{group.where}: has format version {found_version}: expected 1 to {version}")
