"""The seal: size and SHA-256 of a file, in the 512-byte user block that HDF5 leaves alone.

It lets a reader tell that bytes are those that were written before libhdf5 parses a single one of them, and makes
``verify`` as fast as hashing.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, FileIO, RawIOBase
from pathlib import Path

from ser_store_h5.disk.reading import open_regular
from ser_store_h5.errors import FormatError, IntegrityError

SEAL_BYTES = 512
_MAGIC = b"serstore HDF5 file; the HDF5 data begin at byte 512; see FORMAT.md\n"
_READ_BYTES = 1 << 20


def compose_seal(size: int, sha256: str) -> bytes:
    text = _MAGIC + f"size {size:020d}\nsha256 {sha256}\n".encode()
    return text.ljust(SEAL_BYTES - 1, b"-") + b"\n"


def seal(content: BytesIO) -> memoryview:
    """Seal a file in memory, whose HDF5 data stand behind the room for a seal; returns its bytes."""
    view = content.getbuffer()
    view[:SEAL_BYTES] = compose_seal(len(view), hashlib.sha256(view[SEAL_BYTES:]).hexdigest())
    return view


class HashedBody:
    """What stands behind the seal of an open file, hashed as it is read.

    Attributes:
        place: how far it was read, counted from the beginning of the file.
    """

    def __init__(self, file: RawIOBase) -> None:
        """``file``: it stands behind its seal."""
        self._file, self._digest, self._room = file, hashlib.sha256(), memoryview(b"")
        self.place = SEAL_BYTES

    def take(self, count: int) -> memoryview:
        """Return the next bytes, fewer at the end of the file; the next call writes over them."""
        if len(self._room) < count:
            self._room = memoryview(bytearray(count))
        found = self._room[: self._file.readinto(self._room[:count])]
        self._digest.update(found)
        self.place += len(found)
        return found

    def take_at(self, start: int, count: int) -> memoryview:
        """Return so many bytes from ``start``, which was not read yet; fewer at the end of the file."""
        while start > self.place + _READ_BYTES and len(self.take(_READ_BYTES)):
            pass
        return self.take(start + count - self.place)[-count:]

    def finish(self) -> bytes:
        """Read on to the end; returns the seal that fits."""
        while len(self.take(_READ_BYTES)):
            pass
        return compose_seal(self.place, self._digest.hexdigest())


@contextmanager
def open_sealed(path: Path) -> Iterator[tuple[int, bytes]]:
    """A handle behind the seal, and the seal, after it was compared with the size of the file."""
    handle = open_regular(path)
    try:
        seal = os.read(handle, SEAL_BYTES)
        _check_size(path, seal, os.fstat(handle).st_size)
        yield handle, seal
    except OSError as problem:
        raise IntegrityError(f"{path}: cannot be read ({problem.strerror}); restore the file from a copy") from problem
    finally:
        os.close(handle)


@contextmanager
def open_body(path: Path) -> Iterator[tuple[HashedBody, bytes]]:
    """What stands behind the seal, and the seal, after it was compared with the size of the file."""
    with open_sealed(path) as (handle, seal), FileIO(handle, closefd=False) as file:
        yield HashedBody(file), seal


def _check_size(path: Path, seal: bytes, actual: int) -> None:
    if not seal.startswith(_MAGIC) or len(seal) < SEAL_BYTES:
        raise FormatError(f"{path}: not a file of this format: expected the seal of FORMAT.md in its first 512 bytes")
    stated = seal[len(_MAGIC) + len(b"size ") :][:20]
    if not stated.isdigit() or int(stated) != actual:
        raise IntegrityError(
            f"{path}: has {actual} bytes: expected {int(stated) if stated.isdigit() else 'what its seal states'}; the "
            "file is damaged, restore it from a copy"
        )


def check_magic(path: Path) -> None:
    """Refuse a file that does not begin and end as its seal says; reads 512 bytes.

    Raises:
        FormatError: if it is no file, or there is no seal.
        IntegrityError: if the file has not the size that was written.
        StoreError: if it cannot be opened.
    """
    with open_sealed(path):
        pass


def check_seal(path: Path) -> None:
    """Read the whole file and compare it with its seal.

    Raises:
        FormatError: if there is no seal.
        IntegrityError: if a byte of the file is not the one that was written.
        StoreError: if it cannot be opened.
    """
    with open_body(path) as (body, seal):
        found = body.finish()
    if seal != found:
        raise IntegrityError(f"{path}: its bytes are not those that were written; restore the file from a copy")
