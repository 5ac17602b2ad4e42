"""Where the checksummed blocks of an HDF5 file lie, and how to make their checksums fit again after a change.

Written from the HDF5 file format specification, version 3.0; it shares no line with the package.
"""

import re
import struct

SEAL_BYTES = 512
MASK = 0xFFFFFFFF
SIGNATURES = re.compile(
    rb"\x89HDF\r\n\x1a\n|OHDR|OCHK|FAHD|FADB|EAHD|EAIB|EASB|EADB|BTHD|BTIN|BTLF|FRHP|FHIB|FHDB|FSHD"
)
MAX_BLOCK_BYTES = 1_024  # of the kinds whose size is found by trying

Block = tuple[int, int]  # first byte, and the byte after the last that the checksum covers; the checksum follows


def compute_lookup3(block: bytes) -> int:
    """Bob Jenkins' lookup3 (hashlittle) with the initial value 0, the checksum of HDF5's metadata."""
    n = len(block)
    a = b = c = (0xDEADBEEF + n) & MASK
    if not n:
        return c
    words = struct.unpack(f"<{-(-n // 12) * 3}I", block.ljust(-(-n // 12) * 12, b"\0"))
    for i in range(0, len(words) - 3, 3):
        a, b, c = (a + words[i]) & MASK, (b + words[i + 1]) & MASK, (c + words[i + 2]) & MASK
        a = (a - c) & MASK ^ ((c << 4 | c >> 28) & MASK)
        c = (c + b) & MASK
        b = (b - a) & MASK ^ ((a << 6 | a >> 26) & MASK)
        a = (a + c) & MASK
        c = (c - b) & MASK ^ ((b << 8 | b >> 24) & MASK)
        b = (b + a) & MASK
        a = (a - c) & MASK ^ ((c << 16 | c >> 16) & MASK)
        c = (c + b) & MASK
        b = (b - a) & MASK ^ ((a << 19 | a >> 13) & MASK)
        a = (a + c) & MASK
        c = (c - b) & MASK ^ ((b << 4 | b >> 28) & MASK)
        b = (b + a) & MASK
    a, b, c = (a + words[-3]) & MASK, (b + words[-2]) & MASK, (c + words[-1]) & MASK
    c = ((c ^ b) - (b << 14 | b >> 18)) & MASK
    a = ((a ^ c) - (c << 11 | c >> 21)) & MASK
    b = ((b ^ a) - (a << 25 | a >> 7)) & MASK
    c = ((c ^ b) - (b << 16 | b >> 16)) & MASK
    a = ((a ^ c) - (c << 4 | c >> 28)) & MASK
    b = ((b ^ a) - (a << 14 | a >> 18)) & MASK
    return ((c ^ b) - (b << 24 | b >> 8)) & MASK


def _find_end(image: bytes, start: int, signature: bytes) -> int | None:
    """The byte after the last that the block's checksum covers."""
    if signature.startswith(b"\x89HDF"):
        return start + 44
    if signature == b"OHDR":
        flags = image[start + 5]
        at = start + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        return at + width + int.from_bytes(image[at : at + width], "little")
    if signature == b"OCHK":  # the continuation message that names the block says how long it is
        named = image.find(struct.pack("<Q", start - SEAL_BYTES))
        return None if named < 0 else start + int.from_bytes(image[named + 8 : named + 16], "little") - 4
    for end in range(start + 8, min(start + MAX_BLOCK_BYTES, len(image) - 3)):
        if image[end : end + 4] == struct.pack("<I", compute_lookup3(image[start:end])):
            return end
    return None


def find_blocks(image: bytes) -> list[Block]:
    """The checksummed blocks of a whole file, seal included; those whose checksum does not fit are left out."""
    blocks = []
    for found in SIGNATURES.finditer(image, SEAL_BYTES):
        end = _find_end(image, found.start(), found[0])
        if end is not None and image[end : end + 4] == struct.pack("<I", compute_lookup3(image[found.start() : end])):
            blocks.append((found.start(), end))
    return blocks


def repair(image: bytearray, blocks: list[Block]) -> None:
    """Make every block's checksum fit what is in it now."""
    for start, end in blocks:
        if end + 4 <= len(image):
            image[end : end + 4] = struct.pack("<I", compute_lookup3(bytes(image[start:end])))
