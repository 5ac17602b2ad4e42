"""The seal: size and SHA-256 of a file, in the 512-byte user block that HDF5 leaves alone.

It lets a reader tell that bytes are those that were written before libhdf5 parses a single one of them, and makes
``verify`` as fast as hashing.
"""

import hashlib
import os
from pathlib import Path

from ser_store_h5.errors import FormatError, IntegrityError

SEAL_BYTES = 512
_MAGIC = b"serstore HDF5 file; the HDF5 data begin at byte 512; see FORMAT.md\n"
_READ_BYTES = 1 << 20


def _compose(size: int, sha256: str) -> bytes:
    text = _MAGIC + f"size {size:020d}\nsha256 {sha256}\n".encode()
    return text.ljust(SEAL_BYTES - 1, b"-") + b"\n"


def _hash_body(path: Path) -> tuple[int, str]:
    body = hashlib.sha256()
    size = SEAL_BYTES
    with path.open("rb") as file:
        file.seek(SEAL_BYTES)
        while block := file.read(_READ_BYTES):
            body.update(block)
            size += len(block)
    return size, body.hexdigest()


def write_sealed(path: Path, body: bytes) -> None:
    """Write a file: the seal, then the HDF5 data, flushed to the disk."""
    with path.open("wb") as file:
        file.write(_compose(SEAL_BYTES + len(body), hashlib.sha256(body).hexdigest()))
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def check_magic(path: Path) -> None:
    """Refuse a file that does not begin and end as its seal says; reads 512 bytes.

    Raises:
        FormatError: if there is no seal.
        IntegrityError: if the file has not the size that was written.
    """
    if path.exists() and not path.is_file():  # a pipe would keep the reader waiting for good
        raise FormatError(f"{path}: expected a file")
    with path.open("rb") as file:
        seal = file.read(SEAL_BYTES)
    if not seal.startswith(_MAGIC) or len(seal) < SEAL_BYTES:
        raise FormatError(f"{path}: not a file of this format: expected the seal of FORMAT.md in its first 512 bytes")
    stated = seal[len(_MAGIC) + len(b"size ") :][:20]
    actual = path.stat().st_size
    if not stated.isdigit() or int(stated) != actual:
        raise IntegrityError(
            f"{path}: has {actual} bytes: expected {int(stated) if stated.isdigit() else 'what its seal states'}; the "
            "file is damaged, restore it from a copy"
        )


def check_seal(path: Path) -> None:
    """Read the whole file and compare it with its seal.

    Raises:
        FormatError: if there is no seal.
        IntegrityError: if a byte of the file is not the one that was written.
    """
    check_magic(path)
    with path.open("rb") as file:
        seal = file.read(SEAL_BYTES)
    if seal != _compose(*_hash_body(path)):
        raise IntegrityError(f"{path}: its bytes are not those that were written; restore the file from a copy")
