"""The seal: size and SHA-256 of a file, in the 512-byte user block that HDF5 leaves alone.

It lets a reader tell that bytes are those that were written before libhdf5 parses a single one of them, and makes
``verify`` as fast as hashing.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, RawIOBase
from pathlib import Path

from ser_store_h5.disk.inside import open_regular
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


def hash_rest(file: RawIOBase) -> tuple[int, str]:
    """Size of the whole file and SHA-256 (hex) of what follows its seal, where ``file`` stands."""
    body, size = hashlib.sha256(), SEAL_BYTES
    block = bytearray(_READ_BYTES)
    while taken := file.readinto(block):
        body.update(memoryview(block)[:taken])
        size += taken
    return size, body.hexdigest()


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
    with open_sealed(path) as (handle, seal), open(handle, "rb", buffering=0, closefd=False) as file:
        found = compose_seal(*hash_rest(file))
    if seal != found:
        raise IntegrityError(f"{path}: its bytes are not those that were written; restore the file from a copy")
