"""Datasets: rows in chunks along the first axis, each chunk followed by its Fletcher-32 checksum."""

import struct
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.hdf5.bytes import UNDEFINED, DamageError, FileBytes, StructureError
from ser_store_h5.hdf5.objects import FILTERS, LAYOUT, Cursor, Object

CHECKSUM_BYTES, _MASK_BYTES = 4, 4
_CHUNKED, _SINGLE, _FIXED_ARRAY = 2, 1, 3
_FLETCHER = 3
_ARRAY_HEADER_BYTES, _ARRAY_HEAD = 28, 4 + 1 + 1 + 8
_SUM_BYTES = 1 << 15  # summed at once: what stays in the cache of a core

_WEIGHTS = np.arange(_SUM_BYTES // 2, 0, -1, dtype=np.uint64)


@dataclass(frozen=True)
class ChunkLayout:
    """Where the chunks of a dataset lie.

    Attributes:
        rows: of the first axis in one chunk.
        chunk_bytes: of one chunk without its checksum; the last chunk is filled up.
        kind, address, page_bits: of the index of chunks; for a single chunk, its own address.
        stored_bytes: of a single chunk with its checksum.
    """

    rows: int
    chunk_bytes: int
    kind: int
    address: int
    page_bits: int = 0
    stored_bytes: int = 0

    @property
    def is_written(self) -> bool:
        return self.address != UNDEFINED


def parse_layout(dataset: Object, shape: tuple[int, ...], item_bytes: int) -> ChunkLayout | None:
    """The layout, or None for one that this format does not have: no chunks of whole rows, or other filters."""
    cursor = Cursor(dataset.messages[LAYOUT])
    version, kind = cursor.number(1), cursor.number(1)
    if (version, kind) != (4, _CHUNKED) or not _has_fletcher_only(dataset):
        return None
    flags, rank, width = cursor.number(1), cursor.number(1) - 1, cursor.number(1)
    if rank != len(shape) or not 1 <= width <= 8:
        raise StructureError("chunks of another number of axes than their array")
    chunk = [cursor.number(width) for _ in range(rank)]
    if cursor.number(width) != item_bytes or not all(chunk):
        raise StructureError("chunks of another size of number than their array")
    index, rows, chunk_bytes = cursor.number(1), chunk[0], prod(chunk) * item_bytes
    if tuple(chunk[1:]) != shape[1:] or flags & ~0x02:
        return None
    if index == _SINGLE and flags & 2:
        stored, mask = cursor.number(8), cursor.number(4)
        if mask:
            raise StructureError("a chunk without its checksum")
        return ChunkLayout(rows, chunk_bytes, index, cursor.number(8), stored_bytes=stored)
    if index == _FIXED_ARRAY and not flags:
        return ChunkLayout(rows, chunk_bytes, index, page_bits=cursor.number(1), address=cursor.number(8))
    return None


def _has_fletcher_only(dataset: Object) -> bool:
    body = dataset.messages.get(FILTERS, b"")
    return body[:4] == struct.pack("<BBH", 2, 1, _FLETCHER) and body[6:8] == b"\0\0"


class Chunks:
    """Where the chunks of one array lie: a sequence of addresses, read page by page where there are many."""

    def __init__(self, file: FileBytes, layout: ChunkLayout, length: int) -> None:
        """For an array of ``length`` rows."""
        self._file, self._layout = file, layout
        self._count = -(-length // layout.rows)
        self._stored = layout.chunk_bytes + CHECKSUM_BYTES
        self._pages: dict[int, list[int]] = {}
        self._page = max(1, self._count)
        if layout.kind == _SINGLE:
            if self._count > 1 or (self._count and layout.stored_bytes != self._stored):
                raise StructureError("a single chunk that does not hold its array")
            self._pages[0] = self._check_places([layout.address])
        elif self._count:
            self._open_array()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> int:
        page = place // self._page
        if page not in self._pages:
            count = min(self._page, self._count - page * self._page)
            address = self._first_page + page * (self._page * self._entry + CHECKSUM_BYTES)
            self._pages[page] = self._parse(self._file.read_block(address, count * self._entry + CHECKSUM_BYTES, b""))
        return self._pages[page][place % self._page]

    def _open_array(self) -> None:
        """Read the head of a fixed array, and its entries unless they are in pages."""
        address = self._layout.address
        cursor = Cursor(self._file.read_block(address, _ARRAY_HEADER_BYTES, b"FAHD"))
        cursor.take(4)
        version, client, self._entry, bits, total, block = (cursor.number(width) for width in (1, 1, 1, 1, 8, 8))
        if (version, client, bits, total) != (0, 1, self._layout.page_bits, self._count) or bits > 16:
            raise StructureError("an index of chunks that does not fit its array")
        if not 8 + 1 + _MASK_BYTES <= self._entry <= 8 + 8 + _MASK_BYTES:
            raise StructureError("an index of chunks with entries of an unknown size")
        is_paged = self._count > 1 << bits
        rest = (-(-self._count // (1 << bits)) + 7) // 8 if is_paged else self._count * self._entry
        head = self._file.read_block(block, _ARRAY_HEAD + rest + CHECKSUM_BYTES, b"FADB")
        if head[4:_ARRAY_HEAD] != struct.pack("<BBQ", 0, 1, address):
            raise StructureError("an index of chunks of another array")
        if is_paged:
            self._page, self._first_page = 1 << bits, block + _ARRAY_HEAD + rest + CHECKSUM_BYTES
        else:
            self._pages[0] = self._parse(head[_ARRAY_HEAD:])

    def _parse(self, entries: bytes) -> list[int]:
        """Addresses; every chunk must have been written, at its full size, with its checksum."""
        table = np.frombuffer(entries, dtype=np.uint8).reshape(-1, self._entry)
        sizes = np.zeros((len(table), 8), dtype=np.uint8)
        sizes[:, : self._entry - 8 - _MASK_BYTES] = table[:, 8:-_MASK_BYTES]
        if (sizes.view("<u8") != self._stored).any() or table[:, -_MASK_BYTES:].any():
            raise StructureError("a chunk of another size, never written, or without its checksum")
        return self._check_places(np.ascontiguousarray(table[:, :8]).view("<u8").ravel().tolist())

    def _check_places(self, places: list[int]) -> list[int]:
        if self._count and max(places) + self._stored > self._file.end:
            raise DamageError("a chunk beyond the end of the file")
        return places


def compute_fletcher(chunk: NDArray[np.uint8]) -> int:
    """HDF5's Fletcher-32 of an even or odd number of bytes, taken as big-endian pairs."""
    first = second = 0
    for start in range(0, len(chunk), _SUM_BYTES):
        part = chunk[start : start + _SUM_BYTES]
        if len(part) % 2:
            part = np.append(part, np.uint8(0))
        words = part.view(">u2").astype(np.uint64)
        second += len(words) * first + int(words @ _WEIGHTS[-len(words) :])
        first += int(words.sum())
    return _fold(second) << 16 | _fold(first)


def _fold(total: int) -> int:
    """The ones' complement sum of 16 bits: zero only of nothing but zeros."""
    return (total - 1) % 0xFFFF + 1 if total else 0
