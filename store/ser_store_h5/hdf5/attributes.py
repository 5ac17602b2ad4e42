"""Attributes of HDF5 objects that nobody vouches for: one text of fixed length, or one integer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_store_h5.errors import FormatError
from ser_store_h5.hdf5.objects import Value, parse_dtype, parse_shape

if TYPE_CHECKING:
    import h5py

MAX_ATTRIBUTE_BYTES = 60_000  # an HDF5 object header message holds 64 KiB

Attributes = Mapping[bytes, Value]


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
