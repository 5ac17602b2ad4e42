"""Single arrays of an HDF5 file that nobody vouches for.

Type, shape and storage are checked before anything is allocated. An array read whole is compared with its digest; a
few rows are read by the chunks they lie in, each of which has a checksum.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.errors import FormatError, IntegrityError
from ser_store_h5.hdf5.attributes import read_text, write_text
from ser_store_h5.hdf5.bytes import DamageError, FileBytes, StructureError
from ser_store_h5.hdf5.chunks import CHECKSUM_BYTES, ChunkLayout, Chunks, compute_fletcher, parse_layout
from ser_store_h5.hdf5.objects import DATASPACE, DATATYPE, Object, parse_dtype, parse_shape
from ser_store_h5.hdf5.seal import SEAL_BYTES

if TYPE_CHECKING:
    import h5py

# A thousand scattered rows of a million read 63 MB of 2 GB; with chunks of 1 MiB they read 820 MB, and a member of
# 1,440 x 1,024 takes 6% more room, while its array is written and read whole within a tenth of the time.
CHUNK_BYTES = 1 << 16
MAX_CHUNK_BYTES = 1 << 26
BLOCK_BYTES = 1 << 23  # read at once where an array is only passed on
# An array is read whole, and compared with its digest, where it is small, or many rows of a bearable one are asked for.
SMALL_BYTES = 1 << 20
WHOLE_BYTES = 1 << 26

Array = NDArray[Any]
Shape = tuple[int | None, ...]


def _begin_digest(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    return hashlib.sha256(f"{dtype.newbyteorder('<').str} {','.join(map(str, shape))}\n".encode())


def _get_bytes(array: Array) -> Any:
    """The array's bytes in C order, little-endian."""
    stored = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    return stored.view(np.uint8).data if stored.size else b""


def compute_digest(array: Array) -> str:
    """SHA-256 (hex) over dtype, shape and C-ordered little-endian bytes of an array."""
    digest = _begin_digest(array.dtype, array.shape)
    digest.update(_get_bytes(array))
    return str(digest.hexdigest())


def _create_dataset(target: "h5py.Group", name: str, shape: tuple[int, ...], dtype: Any) -> "h5py.Dataset":
    """Little-endian, chunked by rows of about 64 KiB, each chunk with a Fletcher-32 checksum."""
    row_bytes = max(1, prod(shape[1:]) * dtype.itemsize)
    rows = max(1, min(shape[0], CHUNK_BYTES // row_bytes))
    return target.create_dataset(
        name, shape, dtype=dtype.newbyteorder("<"), chunks=(rows, *shape[1:]), fletcher32=True, fillvalue=None
    )


def write_array(target: "h5py.Group", name: str, array: Array) -> None:
    """One array with its digest."""
    from h5py import h5s

    stored = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    dataset = _create_dataset(target, name, stored.shape, stored.dtype)
    dataset.id.write(h5s.ALL, h5s.ALL, stored)
    write_text(dataset, "sha256", compute_digest(stored))


def copy_array(source: "StoredArray", target: "h5py.Group", name: str) -> None:
    """Write a stored array elsewhere, a few MiB at a time, compared with its digest on the way.

    Raises:
        IntegrityError: if its bytes are not those that were written.
    """
    write_blocks(target, name, source.iter_blocks(), shape=source.shape, dtype=source.dtype)


def write_blocks(
    target: "h5py.Group", name: str, blocks: Iterable[Array], *, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    """One array with its digest, of which no more than a block is in memory; the file is as by :func:`write_array`."""
    from h5py import h5s

    dataset, digest = _create_dataset(target, name, shape, dtype), _begin_digest(dtype, shape)
    start = 0
    for block in blocks:
        stored = np.ascontiguousarray(block.astype(dtype.newbyteorder("<"), copy=False))
        space = dataset.id.get_space()
        _select(space, start, stored.shape)
        dataset.id.write(h5s.create_simple(stored.shape), space, stored)
        digest.update(_get_bytes(stored))
        start += len(stored)
    write_text(dataset, "sha256", digest.hexdigest())


def _select(space: Any, start: int, shape: tuple[int, ...]) -> None:
    space.select_hyperslab((start, *(0 for _ in shape[1:])), shape)


class StoredArray:
    """One dataset of an open file, which is what FORMAT.md says. Made by :meth:`.groups.Group.array`.

    Attributes:
        shape: lengths of the axes.
        dtype: in native byte order.
        nbytes: size of the whole array.
        stored_bytes: size in the file, with the checksums and what fills the last chunk.
    """

    def __init__(self, file: FileBytes, node: Object, where: str, *, kinds: tuple[str, ...], shape: Shape) -> None:
        """Check type, shape and storage.

        Args:
            kinds: the dtypes allowed, as numpy writes them without byte order (``f4``, ``i2``), ``S`` for any width.
            shape: the shape expected; None for an axis of any length.

        Raises:
            FormatError: if anything differs from what FORMAT.md says.
        """
        self._file, self._node, self.where = file, node, where
        dtype = parse_dtype(node.messages.get(DATATYPE, b""))
        kind = "" if isinstance(dtype, str) else "S" if dtype.kind == "S" else dtype.str[1:]
        if isinstance(dtype, str) or kind not in kinds or dtype.str[0] == ">":
            raise FormatError(f"{where}: has dtype {dtype}: expected little-endian {' or '.join(kinds)}")
        self.dtype: np.dtype[Any] = dtype.newbyteorder("=")
        self.shape: tuple[int, ...] = self._check_shape(shape)
        self.nbytes = prod(self.shape) * dtype.itemsize
        if self.nbytes > file.size:
            raise self._describe_lie()
        self._layout = self._check_layout()
        if node.chunks is None:
            node.chunks = Chunks(file, self._layout, self.shape[0])
        self._chunks: Chunks = node.chunks
        self.stored_bytes = len(self._chunks) * (self._layout.chunk_bytes + CHECKSUM_BYTES)

    def _check_shape(self, expected: Shape) -> tuple[int, ...]:
        found = parse_shape(self._node.messages.get(DATASPACE, b""))
        fits = found is not None and len(found) == len(expected)
        if found is None or not fits or any(e not in (None, f) for e, f in zip(expected, found, strict=True)):
            stated = "(" + ", ".join("any" if length is None else str(length) for length in expected) + ")"
            raise FormatError(f"{self.where}: has shape {found}: expected {stated}")
        return found

    def _check_layout(self) -> ChunkLayout:
        layout = parse_layout(self._node, self.shape, self.dtype.itemsize)
        if layout is None:
            raise FormatError(
                f"{self.where}: expected chunks inside the file, of whole rows, with the filter fletcher32 and no other"
            )
        if layout.chunk_bytes > MAX_CHUNK_BYTES or (self.nbytes and not layout.is_written):
            raise self._describe_lie()
        return layout

    def _describe_lie(self) -> FormatError:
        """Nothing is compressed, so an array larger than its file is a lie told to exhaust memory."""
        return FormatError(
            f"{self.where}: claims {self.shape} of {self.dtype}, more than its file of {self._file.size} bytes holds"
        )

    def read_digest(self) -> str:
        """The digest that the file states."""
        return read_text(self._node.attributes, "sha256", self.where)

    def begin_digest(self) -> Any:
        """The digest, to be updated with the bytes of all rows in order."""
        return _begin_digest(self.dtype, self.shape)

    def iter_spans(self, most: int) -> Iterator[tuple[int, int]]:
        """Where in the file the rows stand, in order: offset and size of chunks that follow each other, each with its
        checksum; ``most`` bytes or one chunk at once."""
        stride, place = self._layout.chunk_bytes + CHECKSUM_BYTES, 0
        while place < len(self._chunks):
            start, size = self._chunks[place], stride
            while (place := place + 1) < len(self._chunks) and size + stride <= most:
                if self._chunks[place] != start + size:
                    break
                size += stride
            yield SEAL_BYTES + start, size

    def join(self, span: memoryview) -> NDArray[np.uint8]:
        """The bytes of the rows in a span, with those that fill the last chunk."""
        count = self._layout.chunk_bytes
        return np.frombuffer(span, np.uint8).reshape(-1, count + CHECKSUM_BYTES)[:, :count].reshape(-1)

    @property
    def start(self) -> int:
        """Where in the file the first chunk stands; 0 where there is none."""
        return SEAL_BYTES + self._chunks[0] if len(self._chunks) else 0

    def read(self) -> Array:
        """The whole array, compared with its digest.

        Raises:
            IntegrityError: if its bytes are not those that were written.
        """
        array = np.empty(self.shape, dtype=self.dtype)
        self._fill(array.view(np.uint8).reshape(-1) if array.size else np.empty(0, dtype=np.uint8))
        if compute_digest(array) != self.read_digest():
            self._read_summed(0, self.shape[0])  # tells damage from an array that was changed and summed again
            raise self._describe_change()
        return array

    def iter_blocks(self) -> Iterator[Array]:
        """The whole array, a few MiB of rows at a time; the digest is compared after the last.

        Raises:
            IntegrityError: if its bytes are not those that were written.
        """
        digest = self.begin_digest()
        rows = self._layout.rows * max(1, BLOCK_BYTES // self._layout.chunk_bytes)
        for start in range(0, self.shape[0], rows):
            block = self._read_summed(start, min(self.shape[0], start + rows))
            digest.update(_get_bytes(block))
            yield block
        if digest.hexdigest() != self.read_digest():
            raise self._describe_change()

    def read_rows(self, places: NDArray[np.integer[Any]]) -> Array:
        """The rows ``places`` in any order: by the chunks they lie in, unless most of a small array is meant.

        Raises:
            IntegrityError: if their bytes are not those that were written.
        """
        n = self.shape[0]
        if self.nbytes <= SMALL_BYTES or (len(places) * 4 > n and self.nbytes <= WHOLE_BYTES):
            return np.asarray(self.read()[places])
        return self._read_chunks(places)

    def _read_chunks(self, places: NDArray[np.integer[Any]]) -> Array:
        """The rows ``places``, from the chunks they lie in: those that follow each other at once."""
        rows = np.empty((len(places), *self.shape[1:]), dtype=self.dtype)
        order = np.argsort(places, kind="stable")
        ascending = places[order]
        chunks = ascending // self._layout.rows
        blocks = chunks // max(1, BLOCK_BYTES // self._layout.chunk_bytes)
        ends = np.flatnonzero((np.diff(chunks) > 1) | (np.diff(blocks) > 0)) + 1
        for start, end in pairwise((0, *ends.tolist(), len(places)) if len(places) else ()):
            first, last = int(ascending[start]), int(ascending[end - 1])
            block = self._read_summed(first, last + 1)
            rows[order[start:end]] = block[ascending[start:end] - first]
        return rows

    def _fill(self, content: NDArray[np.uint8]) -> None:
        """Fill the bytes of the whole array without a look at the checksums: its digest says more."""
        count = self._layout.chunk_bytes
        with self._stated_damage():
            for place, begin in enumerate(range(0, len(content), count)):
                self._file.read_into(self._chunks[place], content[begin : begin + count].data)

    def _read_summed(self, start: int, end: int) -> Array:
        """The rows from ``start`` to ``end``, after the checksum of every chunk that holds one of them was compared."""
        step, count = self._layout.rows, self._layout.chunk_bytes
        first, last = start // step, -(-end // step)
        content, stated = np.empty((last - first) * count, dtype=np.uint8), bytearray(CHECKSUM_BYTES)
        with self._stated_damage():
            for place in range(first, last):
                chunk = content[(place - first) * count :][:count]
                self._file.read_into(self._chunks[place], chunk.data)
                self._file.read_into(self._chunks[place] + count, memoryview(stated))
                if compute_fletcher(chunk) != int.from_bytes(stated, "little"):
                    raise DamageError("a checksum differs")
        rows = content.view(self.dtype).reshape(-1, *self.shape[1:])
        return rows[start - first * step : end - first * step]

    @contextmanager
    def _stated_damage(self) -> Iterator[None]:
        try:
            yield
        except StructureError as problem:
            raise IntegrityError(f"{self.where}: its bytes are damaged; restore the file from a copy") from problem

    def _describe_change(self) -> IntegrityError:
        return IntegrityError(f"{self.where}: its bytes are not those that were written; restore the file from a copy")
