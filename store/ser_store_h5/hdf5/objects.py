"""Object headers of version 2: the messages that say what a group, a dataset or an attribute is."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

import numpy as np

from ser_store_h5.hdf5.bytes import UNDEFINED, FileBytes, StructureError

MAX_HEADER_BYTES = 1 << 20
NIL, DATASPACE, LINK_INFO, DATATYPE, FILL, LINK, EXTERNAL_FILES, LAYOUT = 0, 1, 2, 3, 5, 6, 7, 8
GROUP_INFO, FILTERS, ATTRIBUTE, CONTINUATION, MODIFIED, ATTRIBUTE_INFO, REFERENCES = 10, 11, 12, 16, 18, 21, 22
_KNOWN = {NIL, DATASPACE, LINK_INFO, DATATYPE, FILL, LINK, EXTERNAL_FILES, LAYOUT, GROUP_INFO, FILTERS, ATTRIBUTE}
_KNOWN |= {CONTINUATION, MODIFIED, ATTRIBUTE_INFO, REFERENCES}
_SHARED = 0x02
_CLASSES: tuple[str, ...] = ("integer", "float", "time", "text", "bits", "opaque", "compound", "reference", "enum")
_CLASSES += ("variable-length", "array")
_MAX_TEXT_BYTES = 1 << 24
# Properties of IEEE 754 numbers: first bit, bits, place and bits of the exponent and of the mantissa, bias; sign bit.
_FLOATS = {
    2: (struct.pack("<2H4BI", 0, 16, 10, 5, 0, 10, 15), 15),
    4: (struct.pack("<2H4BI", 0, 32, 23, 8, 0, 23, 127), 31),
    8: (struct.pack("<2H4BI", 0, 64, 52, 11, 0, 52, 1023), 63),
}


_TOO_SHORT = "a block is too short for what it says"
_MESSAGE, _TRACKED_MESSAGE = struct.Struct("<BHB"), struct.Struct("<BHBH")  # kind, size, flags; order of creation
_ATTRIBUTE = struct.Struct("<BBHHHB")  # version, flags; sizes of name, datatype and dataspace; encoding of the name


class Cursor:
    """Takes little-endian numbers off a block."""

    def __init__(self, block: bytes, *, at: int = 0) -> None:
        self._block, self.at = block, at

    @property
    def left(self) -> int:
        return len(self._block) - self.at

    def take(self, count: int) -> bytes:
        start, self.at = self.at, self.at + count
        if self.at > len(self._block):
            raise StructureError(_TOO_SHORT)
        return self._block[start : self.at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")


@dataclass(frozen=True)
class Value:
    """A dataspace, a datatype and, for attributes, the bytes: as the file has them."""

    dataspace: bytes
    datatype: bytes
    content: bytes = b""


@dataclass
class Object:
    """What the header of one object says.

    Attributes:
        links: name to the address of the object; None for a link that is not hard.
        heap, index: where the links lie that have no room in the header, if any.
        attributes: by name.
        messages: the bodies of the other messages, by kind.
        all_links, chunks: those of ``links`` and of ``heap``, and the index of the chunks, once they were read.
    """

    links: dict[bytes, int | None] = field(default_factory=dict)
    heap: int = UNDEFINED
    index: int = UNDEFINED
    attributes: dict[bytes, Value] = field(default_factory=dict)
    messages: dict[int, bytes] = field(default_factory=dict)
    all_links: dict[bytes, int | None] | None = None
    chunks: Any = None

    @property
    def is_group(self) -> bool:
        return LINK_INFO in self.messages

    @property
    def is_dataset(self) -> bool:
        return LAYOUT in self.messages


def read_object(file: FileBytes, address: int) -> Object:
    """Read and check one object header; each is read once."""
    if address in file.objects:
        return cast(Object, file.objects[address])
    found = Object()
    for kind, body in _iter_messages(file, address):
        if kind == LINK:
            name, place = parse_link(body)
            if name in found.links:
                raise StructureError("two links of one name")
            found.links[name] = place
        elif kind == ATTRIBUTE:
            name, value = _parse_attribute(body)
            if name in found.attributes:
                raise StructureError("two attributes of one name")
            found.attributes[name] = value
        elif kind in found.messages:
            raise StructureError("an object header says one thing twice")
        else:
            found.messages[kind] = body
    if LINK_INFO in found.messages:
        found.heap, found.index = _parse_info(found.messages[LINK_INFO], order_width=8)
    about_attributes = found.messages.get(ATTRIBUTE_INFO)
    if about_attributes is not None and _parse_info(about_attributes, order_width=2)[0] != UNDEFINED:
        raise StructureError("attributes outside the object header: expected all in it")
    file.objects[address] = found
    return found


def _iter_messages(file: FileBytes, address: int) -> Iterator[tuple[int, bytes]]:
    """Kind and body of every message, in the header and the blocks that continue it."""
    start = file.read(address, 6)
    if start[:5] != b"OHDR\x02" or start[5] & 0xC0:
        raise StructureError(f"no object header of version 2 at {address}")
    flags = start[5]
    head = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    message = _TRACKED_MESSAGE if flags & 4 else _MESSAGE
    size = int.from_bytes(file.read(address + head, width), "little")
    blocks = [(address, head + width + size + 4, b"OHDR", head + width)]
    total = 0
    while blocks:
        place, count, signature, skipped = blocks.pop(0)
        total += count
        if total > MAX_HEADER_BYTES:
            raise StructureError(f"the object header at {address} has more than {MAX_HEADER_BYTES} bytes")
        block = file.read_block(place, count, signature)
        at = skipped
        while at + message.size <= len(block):
            kind, length, message_flags, *_ = message.unpack_from(block, at)
            body = block[at + message.size : at + message.size + length]
            at += message.size + length
            if at > len(block):
                raise StructureError(_TOO_SHORT)
            if kind == NIL:
                continue
            if kind not in _KNOWN or message_flags & _SHARED:
                raise StructureError(f"a message of kind {kind}, which this format does not use")
            if kind == CONTINUATION:
                blocks.append((*struct.unpack("<QQ", body[:16].ljust(16, b"\xff")), b"OCHK", 4))
            else:
                yield kind, body


def _parse_info(body: bytes, *, order_width: int) -> tuple[int, int]:
    """Where links or attributes lie that have no room in the header: fractal heap and B-tree."""
    cursor = Cursor(body)
    version, flags = cursor.number(1), cursor.number(1)
    if version != 0 or flags & 0xFC:
        raise StructureError("link or attribute information of an unknown version")
    if flags & 1:
        cursor.take(order_width)
    return cursor.number(8), cursor.number(8)


def parse_link(body: bytes) -> tuple[bytes, int | None]:
    """Name and address of a link; no address for a link that is not hard."""
    cursor = Cursor(body)
    version, flags = cursor.number(1), cursor.number(1)
    if version != 1 or flags & 0xE0:
        raise StructureError("a link of an unknown version")
    kind = cursor.number(1) if flags & 8 else 0
    if flags & 4:
        cursor.take(8)
    if flags & 16:
        cursor.take(1)
    name = cursor.take(cursor.number(1 << (flags & 3)))
    return name, cursor.number(8) if kind == 0 else None


def _parse_attribute(body: bytes) -> tuple[bytes, Value]:
    if len(body) < _ATTRIBUTE.size:
        raise StructureError(_TOO_SHORT)
    version, flags, name_size, type_size, space_size, _ = _ATTRIBUTE.unpack_from(body)
    if version != 3:
        raise StructureError(f"an attribute of version {version}: expected 3")
    cursor = Cursor(body, at=_ATTRIBUTE.size)
    name = cursor.take(name_size).removesuffix(b"\0")
    # The type of a shared datatype lies elsewhere: no such type is any that is read.
    datatype = cursor.take(type_size) if not flags & 1 else cursor.take(type_size) and b""
    dataspace = cursor.take(space_size) if not flags & 2 else cursor.take(space_size) and b""
    return name, Value(dataspace, datatype, cursor.take(cursor.left))


@lru_cache(maxsize=256)  # members of a store are much alike
def parse_shape(dataspace: bytes) -> tuple[int, ...] | None:
    """The lengths of the axes, () for a single value; None for a null dataspace."""
    cursor = Cursor(dataspace)
    version, rank, flags, kind = (cursor.number(1) for _ in range(4))
    if version != 2 or flags & 0xFE or kind > 2 or rank > 32 or (kind != 1 and rank):
        raise StructureError("a dataspace of an unknown version or kind")
    shape = tuple(cursor.number(8) for _ in range(rank))
    if flags & 1 and tuple(cursor.number(8) for _ in range(rank)) != shape:
        raise StructureError("an array that can grow: expected one of fixed shape")
    return None if kind == 2 else shape


@lru_cache(maxsize=256)
def parse_dtype(datatype: bytes) -> np.dtype[np.generic] | str:
    """The datatype as numpy has it, or the name of its class where the format uses none of that class."""
    cursor = Cursor(datatype)
    head, bits, size = cursor.number(1), cursor.number(3), cursor.number(4)
    kind, properties = head & 15, cursor.take(cursor.left)
    if not 1 <= head >> 4 <= 5:
        raise StructureError("a datatype of an unknown version")
    order = ">" if bits & 1 else "<"
    if kind == 0 and size in (1, 2, 4, 8) and properties[:4] == struct.pack("<HH", 0, 8 * size) and not bits & ~0x0F:
        return np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}")
    if kind == 1 and size in _FLOATS and (properties[:12], bits >> 8) == _FLOATS[size] and bits & 0xFE == 0x20:
        return np.dtype(f"{order}f{size}")
    # Ended or filled by NULs, ASCII or UTF-8.
    if kind == 3 and 0 < size <= _MAX_TEXT_BYTES and bits in (0x00, 0x01, 0x10, 0x11):
        return np.dtype(f"S{size}")
    return _CLASSES[kind] if kind < len(_CLASSES) else "unknown"
