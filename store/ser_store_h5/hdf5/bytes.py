"""The bytes of a sealed HDF5 file: their bounds, the checksums of metadata, and the superblock.

Files are read without libhdf5, which crashes and hangs on metadata that were crafted with checksums that fit. What is
read here is the part of the HDF5 file format (specification version 3.0) that FORMAT.md allows; all else is refused.
"""

import struct
from functools import lru_cache
from io import FileIO
from typing import Any

from ser_store_h5.hdf5.seal import SEAL_BYTES

UNDEFINED = 2**64 - 1
_WINDOW_BYTES = 1 << 13
_MAX_METADATA_BYTES = 1 << 28  # of one file while it is open; their checksums take about 0.1 s for each MiB
_MASK = 0xFFFFFFFF
_SMALL_BYTES = 1 << 10
# Signature, version, size of addresses, size of lengths, flags; base address, extension, end of file, root; checksum.
_SUPERBLOCK = struct.Struct("<8s4B4QI")
_UNCHECKED_HEAD = 17  # of a heap's block: signature, version, address of the heap, offset
_MAGIC = b"\x89HDF\r\n\x1a\n"


class StructureError(ValueError):
    """Bytes that FORMAT.md does not allow; becomes one line that names the file where the file was opened."""


class DamageError(StructureError):
    """Bytes that are not those that were written."""


def compute_lookup3(block: bytes) -> int:
    """The checksum of HDF5's metadata: Bob Jenkins' lookup3 (hashlittle) with the initial value 0.

    Small blocks, many of which members of one store have in common, are summed once.
    """
    return _remember_lookup3(block) if len(block) <= _SMALL_BYTES else _sum_lookup3(block)


def _sum_lookup3(block: bytes) -> int:
    n = len(block)
    a = b = c = (0xDEADBEEF + n) & _MASK
    if not n:
        return c
    words: tuple[int, ...] = struct.unpack(f"<{-(-n // 12) * 3}I", block + bytes(-n % 12))
    for i in range(0, len(words) - 3, 3):
        a, b, c = (a + words[i]) & _MASK, (b + words[i + 1]) & _MASK, (c + words[i + 2]) & _MASK
        a = (a - c) & _MASK ^ ((c << 4 | c >> 28) & _MASK)
        c = (c + b) & _MASK
        b = (b - a) & _MASK ^ ((a << 6 | a >> 26) & _MASK)
        a = (a + c) & _MASK
        c = (c - b) & _MASK ^ ((b << 8 | b >> 24) & _MASK)
        b = (b + a) & _MASK
        a = (a - c) & _MASK ^ ((c << 16 | c >> 16) & _MASK)
        c = (c + b) & _MASK
        b = (b - a) & _MASK ^ ((a << 19 | a >> 13) & _MASK)
        a = (a + c) & _MASK
        c = (c - b) & _MASK ^ ((b << 4 | b >> 28) & _MASK)
        b = (b + a) & _MASK
    a, b, c = (a + words[-3]) & _MASK, (b + words[-2]) & _MASK, (c + words[-1]) & _MASK
    c = ((c ^ b) - (b << 14 | b >> 18)) & _MASK
    a = ((a ^ c) - (c << 11 | c >> 21)) & _MASK
    b = ((b ^ a) - (a << 25 | a >> 7)) & _MASK
    c = ((c ^ b) - (b << 16 | b >> 16)) & _MASK
    a = ((a ^ c) - (c << 4 | c >> 28)) & _MASK
    b = ((b ^ a) - (a << 14 | a >> 18)) & _MASK
    return ((c ^ b) - (b << 24 | b >> 8)) & _MASK


_remember_lookup3 = lru_cache(maxsize=2048)(_sum_lookup3)


class FileBytes:
    """An open file. Addresses count from the end of the seal, as HDF5 counts them in a file with a user block.

    Attributes:
        size: of the whole file, in bytes.
        end: the address after the last byte.
        objects: the object headers that were read, by address.
    """

    def __init__(self, handle: int, size: int) -> None:
        """``handle``: the file's descriptor; whoever opened it closes it."""
        self._file = FileIO(handle, closefd=False)
        self.size, self.end = size, size - SEAL_BYTES
        self.objects: dict[int, Any] = {}
        self._window, self._start = b"", 0
        # Blocks of metadata do not overlap, and each is read once: more of them than bytes would go on for ever.
        self._allowance = min(self.end, _MAX_METADATA_BYTES)

    def read(self, address: int, count: int) -> bytes:
        """``count`` bytes of metadata from ``address`` on."""
        if count < 0 or address + count > self.end:
            raise DamageError(f"{count} bytes at {address} lie beyond the end of the file")
        place = address - self._start
        if place >= 0 and place + count <= len(self._window):
            return self._window[place : place + count]
        self._file.seek(SEAL_BYTES + address)
        found = self._file.read(min(max(count, _WINDOW_BYTES), self.end - address))
        if len(found) < count:
            raise DamageError(f"{count} bytes at {address} could not be read")
        self._window, self._start = found, address
        return found[:count]

    def read_block(self, address: int, count: int, signature: bytes) -> bytes:
        """A block of metadata without its checksum, which is compared."""
        if count < 8:
            raise StructureError(f"{count} bytes at {address} are too few for a block")
        self._allow(count)
        block = self.read(address, count)
        if not block.startswith(signature):
            raise DamageError(f"no {signature.decode()} at {address}")
        if compute_lookup3(block[:-4]) != int.from_bytes(block[-4:], "little"):
            raise DamageError(f"{signature.decode() or 'page'} at {address} is damaged")
        return block[:-4]

    def read_heap_block(self, address: int, count: int, head: int) -> bytes:
        """A block of a fractal heap, whose checksum, if ``head`` has room for one, ends the head of the block."""
        self._allow(count)
        block = self.read(address, count)
        if not block.startswith(b"FHDB"):
            raise DamageError(f"no FHDB at {address}")
        if head == _UNCHECKED_HEAD:
            return block
        bare = block[: head - 4] + bytes(4) + block[head:]
        if compute_lookup3(bare) != int.from_bytes(block[head - 4 : head], "little"):
            raise DamageError(f"FHDB at {address} is damaged")
        return block

    def _allow(self, count: int) -> None:
        self._allowance -= count
        if self._allowance < 0:
            raise StructureError("its blocks overlap, or are too many")

    def read_into(self, address: int, view: memoryview) -> None:
        """Fill ``view`` with the bytes from ``address`` on."""
        if address + len(view) > self.end:
            raise DamageError(f"{len(view)} bytes at {address} lie beyond the end of the file")
        self._file.seek(SEAL_BYTES + address)
        while view:
            count = self._file.readinto(view)
            if not count:
                raise DamageError(f"{len(view)} bytes at {address} could not be read")
            view = view[count:]

    def find_root(self) -> int:
        """Address of the root group, from the superblock."""
        block = self.read(0, _SUPERBLOCK.size)
        magic, version, addresses, lengths, flags, base, extension, end, root, checksum = _SUPERBLOCK.unpack(block)
        if magic != _MAGIC or compute_lookup3(block[:-4]) != checksum:
            raise DamageError("the superblock is damaged")
        if (version, addresses, lengths, flags) != (3, 8, 8, 0):
            raise StructureError(f"superblock of version {version}: expected 3, with addresses of 8 bytes and no flags")
        if (base, extension) != (SEAL_BYTES, UNDEFINED) or end != self.end + SEAL_BYTES:
            raise StructureError("the superblock does not fit the file, or has an extension")
        return int(root)
