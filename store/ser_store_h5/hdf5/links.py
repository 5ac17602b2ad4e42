"""Links of large groups: a B-tree of version 2 lists them, a fractal heap holds them."""

from collections.abc import Iterator

from ser_store_h5.hdf5.bytes import UNDEFINED, FileBytes, StructureError
from ser_store_h5.hdf5.objects import Cursor, Object, parse_link

_TREE_HEADER_BYTES, _HEAP_HEADER_BYTES = 38, 146
_LINK_NAMES = 5  # type of the B-tree: hash of the name, then the heap's name for the link
_RECORD_BYTES, _HASH_BYTES, _ID_BYTES = 11, 4, 7
_MAX_DEPTH = 8
_BLOCK_HEAD = 4 + 1 + 8  # signature, version, address of the header
MAX_LINKS = 10_000

Links = dict[bytes, int | None]


def find_links(file: FileBytes, group: Object) -> Links:
    """All links of a group: name to address, None for links that are not hard. Read once for each group."""
    if group.heap == UNDEFINED:
        return group.links
    if group.all_links is not None:
        return group.all_links
    heap = _Heap(file, group.heap)
    links: Links = dict(group.links)
    for heap_id in _iter_ids(file, group.index):
        name, address = parse_link(heap.read(heap_id))
        if name in links:
            raise StructureError("two links of one name")
        links[name] = address
    group.all_links = links
    return links


def _iter_ids(file: FileBytes, address: int) -> Iterator[bytes]:
    """The heap's name of every link."""
    cursor = Cursor(file.read_block(address, _TREE_HEADER_BYTES, b"BTHD"))
    cursor.take(4)
    version, kind, node_bytes, record_bytes, depth = (cursor.number(width) for width in (1, 1, 4, 2, 2))
    cursor.take(2)
    root, count, total = cursor.number(8), cursor.number(2), cursor.number(8)
    if (version, kind, record_bytes) != (0, _LINK_NAMES, _RECORD_BYTES) or depth > _MAX_DEPTH:
        raise StructureError("an index of links of an unknown kind")
    if total > MAX_LINKS:
        raise StructureError(f"has {total} entries: expected at most {MAX_LINKS}")
    if not 64 <= node_bytes <= 1 << 16:
        raise StructureError(f"an index of links with nodes of {node_bytes} bytes")
    found = 0
    if root != UNDEFINED:
        for heap_id in _iter_node(file, root, count, depth, _measure(node_bytes, depth)):
            found += 1
            yield heap_id
    if found != total:
        raise StructureError(f"an index of {total} links that lists {found}")


def _measure(node_bytes: int, depth: int) -> list[tuple[int, int]]:
    """For the nodes of every depth: the most records in one, and the most in one and all below it."""
    room = node_bytes - 10  # signature, version, type, checksum
    sizes = [(room // _RECORD_BYTES,) * 2]
    for _ in range(depth):
        pointer = 8 + _get_width(sizes[0][0]) + (_get_width(sizes[-1][1]) if len(sizes) > 1 else 0)
        most = max(0, (room - pointer) // (_RECORD_BYTES + pointer))
        sizes.append((most, (most + 1) * sizes[-1][1] + most))
    return sizes


def _get_width(most: int) -> int:
    """Bytes that libhdf5 spends on a number up to ``most``."""
    return (max(1, most).bit_length() - 1) // 8 + 1


def _iter_node(file: FileBytes, address: int, count: int, depth: int, sizes: list[tuple[int, int]]) -> Iterator[bytes]:
    if count > sizes[depth][0]:
        raise StructureError(f"a node with {count} links: expected at most {sizes[depth][0]}")
    # Each pointer: address, records in the node, and above the last level records in all below it.
    widths = (8, _get_width(sizes[0][0]), *((_get_width(sizes[depth - 1][1]),) if depth > 1 else ()))
    pointers = sum(widths) * (count + 1) if depth else 0
    signature = b"BTIN" if depth else b"BTLF"
    cursor = Cursor(file.read_block(address, 6 + count * _RECORD_BYTES + pointers + 4, signature))
    cursor.take(4)
    if (cursor.number(1), cursor.number(1)) != (0, _LINK_NAMES):
        raise StructureError("a node of an unknown kind")
    yield from [cursor.take(_RECORD_BYTES)[_HASH_BYTES:] for _ in range(count)]
    if depth:
        for child, below, *_ in [[cursor.number(width) for width in widths] for _ in range(count + 1)]:
            yield from _iter_node(file, child, below, depth - 1, sizes)


class _Heap:
    """A fractal heap: blocks that grow, row by row, each with objects in it."""

    def __init__(self, file: FileBytes, address: int) -> None:
        self._file, self._address = file, address
        cursor = Cursor(file.read_block(address, _HEAP_HEADER_BYTES, b"FRHP"))
        cursor.take(4)
        version, id_bytes, filter_bytes, flags, self._max_object = (cursor.number(width) for width in (1, 2, 2, 1, 4))
        cursor.take(12 * 8)  # huge and tiny objects, of which links are none, free space and counts
        self._width, self._start_bytes = cursor.number(2), cursor.number(8)
        self._max_block, max_bits = cursor.number(8), cursor.number(2)
        cursor.take(2)
        self._root, self._rows = cursor.number(8), cursor.number(2)
        if (version, id_bytes, filter_bytes, max_bits) != (0, _ID_BYTES, 0, 32) or flags & 0xFC:
            raise StructureError("a heap of links of an unknown kind")
        powers = (self._width, self._start_bytes, self._max_block)
        if any(power.bit_count() != 1 for power in powers) or not 1 <= self._start_bytes <= self._max_block <= 1 << 16:
            raise StructureError("a heap of links with blocks of unknown sizes")
        if self._width > 64 or self._rows > 32:
            raise StructureError("a heap of links with too many blocks")
        self._is_checked = bool(flags & 2)
        self._max_direct_rows = (self._max_block // self._start_bytes).bit_length() + 1
        self._blocks: list[tuple[int, int, bytes]] = []  # first and last offset of each block, and its bytes
        self._tables: dict[int, bytes] = {}

    def _get_row_bytes(self, row: int) -> int:
        return self._start_bytes << max(0, row - 1)

    def read(self, heap_id: bytes) -> bytes:
        """The object of this name."""
        offset, length = int.from_bytes(heap_id[1:5], "little"), int.from_bytes(heap_id[5:7], "little")
        if heap_id[0] or length > self._max_object:
            raise StructureError("a link that is no object of its heap")
        start, block = self._find_block(offset)
        found = block[offset - start : offset - start + length]
        if offset - start < self._head_bytes or len(found) < length:
            raise StructureError("a link beyond its block")
        return found

    @property
    def _head_bytes(self) -> int:
        return _BLOCK_HEAD + 4 + (4 if self._is_checked else 0)

    def _find_block(self, offset: int) -> tuple[int, bytes]:
        for start, end, block in self._blocks:
            if start <= offset < end:
                return start, block
        if self._rows == 0:
            start, size, address = 0, self._start_bytes, self._root
        else:
            start, size, address = self._locate(self._root, self._rows, 0, offset)
        if not start <= offset < start + size:
            raise StructureError("a link beyond its heap")
        block = self._read_direct(address, start, size)
        self._blocks.append((start, start + size, block))
        return start, block

    def _locate(self, address: int, rows: int, base: int, offset: int) -> tuple[int, int, int]:
        """Offset, size and address of the direct block that holds ``offset``, below one indirect block."""
        for _ in range(32):
            table = self._read_table(address, rows, base)
            start = base
            for entry in range(rows * self._width):
                size = self._get_row_bytes(entry // self._width)
                if start <= offset < start + size:
                    break
                start += size
            else:
                raise StructureError("a link beyond its heap")
            child = int.from_bytes(table[8 * entry : 8 * entry + 8], "little")
            if entry // self._width < self._max_direct_rows:
                return start, size, child
            address, base = child, start
            rows = (size // (self._start_bytes * self._width)).bit_length()
        raise StructureError("a heap of links that goes too deep")

    def _read_table(self, address: int, rows: int, base: int) -> bytes:
        """The addresses in an indirect block."""
        if address not in self._tables:
            head = _BLOCK_HEAD + 4
            block = self._file.read_block(address, head + 8 * rows * self._width + 4, b"FHIB")
            self._check_head(block, base)
            self._tables[address] = block[head:]
        return self._tables[address]

    def _check_head(self, block: bytes, offset: int) -> None:
        if block[4:_BLOCK_HEAD] != b"\0" + self._address.to_bytes(8, "little"):
            raise StructureError("a block of another heap")
        if int.from_bytes(block[_BLOCK_HEAD : _BLOCK_HEAD + 4], "little") != offset:
            raise StructureError("a block of another place in its heap")

    def _read_direct(self, address: int, start: int, size: int) -> bytes:
        block = self._file.read_heap_block(address, size, self._head_bytes)
        self._check_head(block, start)
        return block
