"""Texts as HDF5 holds them: of arrays, and of attributes that nobody vouches for, which may be an integer too."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.errors import FormatError
from ser_store_h5.hdf5.objects import Value, parse_dtype, parse_shape

if TYPE_CHECKING:
    import h5py

MAX_ATTRIBUTE_BYTES = 60_000  # an HDF5 object header message holds 64 KiB

Attributes = Mapping[bytes, Value]
_BLOCK_BYTES = 1 << 22


def write_text(target: "h5py.HLObject", name: str, text: str) -> None:
    """A text attribute of fixed length, which is covered by the checksums of the metadata.

    Raises:
        FormatError: if the format cannot hold the text.
    """
    import h5py

    try:
        encoded = text.encode()
    except UnicodeEncodeError as problem:
        raise FormatError(f"attribute {name}: {text[:100]!r} is not valid Unicode: mend the text") from problem
    if "\0" in text:
        raise FormatError(f"attribute {name}: {text[:100]!r} holds a NUL: expected text without")
    if len(encoded) > MAX_ATTRIBUTE_BYTES:
        raise FormatError(f"attribute {name} has {len(encoded)} bytes: expected at most {MAX_ATTRIBUTE_BYTES}")
    target.attrs.create(name, np.array(encoded or b"\0"), dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))


def _find_attribute(attributes: Attributes, name: str, where: str) -> tuple[np.dtype[Any], bytes]:
    """Type and bytes of an attribute of one value and a bearable size."""
    found = attributes.get(name.encode())
    if found is None:
        raise FormatError(f"{where}: attribute {name} is missing")
    if parse_shape(found.dataspace) != () or len(found.content) > MAX_ATTRIBUTE_BYTES:
        raise FormatError(f"{where}: attribute {name}: expected one value of at most {MAX_ATTRIBUTE_BYTES} bytes")
    dtype = parse_dtype(found.datatype)
    if isinstance(dtype, str) or dtype.kind == "f":
        raise FormatError(f"{where}: attribute {name}: expected text of fixed length or an integer")
    if len(found.content) != dtype.itemsize:
        raise FormatError(f"{where}: attribute {name}: has {len(found.content)} bytes: expected {dtype.itemsize}")
    return dtype, found.content


def read_text(attributes: Attributes, name: str, where: str) -> str:
    """The text attribute ``name`` of the object ``where``.

    Raises:
        FormatError: if it is missing or anything else.
    """
    dtype, content = _find_attribute(attributes, name, where)
    if dtype.kind != "S":
        raise FormatError(f"{where}: attribute {name}: expected text")
    try:
        return content.rstrip(b"\0").decode()
    except UnicodeDecodeError as problem:
        raise FormatError(f"{where}: attribute {name}: expected UTF-8 text") from problem


def read_integer(attributes: Attributes, name: str, where: str) -> int:
    """The integer attribute ``name`` of the object ``where``.

    Raises:
        FormatError: if it is missing or anything else.
    """
    dtype, content = _find_attribute(attributes, name, where)
    if dtype.kind == "S":
        raise FormatError(f"{where}: attribute {name}: expected an integer")
    return int(np.frombuffer(content, dtype=dtype)[0])


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
