"""Text as HDF5 keeps it here: UTF-8 of fixed width, filled with NULs. A million ids take a fraction of a second."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.errors import FormatError

_BLOCK_BYTES = 1 << 22


def encode_strings(strings: NDArray[Any]) -> NDArray[np.bytes_]:
    """UTF-8 of fixed width: unlike HDF5's own variable-length strings it is covered by checksums.

    Raises:
        FormatError: if a text is not valid Unicode.
    """
    if not strings.size:
        return np.zeros(0, dtype="S1")
    points = np.ascontiguousarray(strings, dtype=strings.dtype.newbyteorder("="))
    codes = points.view(np.uint32).reshape(len(points), -1)
    if codes.max() < 128:
        width = max(1, int(np.flatnonzero(codes.any(axis=0)).max(initial=0)) + 1)
        return np.ascontiguousarray(codes[:, :width].astype(np.uint8)).view(f"S{width}").ravel()
    try:
        return np.char.encode(strings, "utf-8")
    except UnicodeEncodeError as problem:
        raise FormatError(
            f"{problem.object[:100]!r} is not valid Unicode: rename the file or mend the text"
        ) from problem


def decode_strings(stored: NDArray[Any], *, where: str) -> NDArray[np.str_]:
    """The texts that :func:`encode_strings` encoded.

    Raises:
        FormatError: if the bytes are not UTF-8.
    """
    if stored.size and (codes := _get_bytes(stored)).max() < 128:
        return codes.astype(np.uint32).view(f"U{stored.dtype.itemsize}").ravel()
    try:
        return np.char.decode(stored, "utf-8")
    except UnicodeDecodeError as problem:
        raise FormatError(f"{where}: expected UTF-8 text") from problem


def iter_with_lengths(encoded: NDArray[np.bytes_]) -> Iterator[bytes]:
    """The bytes of all texts, each after its length as 4 bytes little-endian, in pieces of some MiB."""
    width = encoded.dtype.itemsize
    rows = max(1, _BLOCK_BYTES // (width + 4))
    for start in range(0, len(encoded), rows):
        texts = _get_bytes(encoded[start : start + rows])
        lengths = np.where(texts.any(axis=1), width - (texts[:, ::-1] != 0).argmax(axis=1), 0)
        framed = np.empty((len(texts), 4 + width), dtype=np.uint8)
        framed[:, :4] = lengths.astype("<u4")[:, None].view(np.uint8)
        framed[:, 4:] = texts
        yield framed[np.arange(4 + width) < 4 + lengths[:, None]].tobytes()


def _get_bytes(stored: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(stored).view(np.uint8).reshape(len(stored), -1)
