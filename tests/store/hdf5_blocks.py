"""Where the checksummed blocks of an HDF5 file lie, and how to make their checksums fit again after a change.

Written from the HDF5 file format specification, version 3.0. Blocks are found by their signatures, not by walking.
"""

import re
import struct

from ser_store_h5.hdf5.bytes import compute_lookup3

SEAL_BYTES = 512
SIGNATURES = re.compile(
    rb"\x89HDF\r\n\x1a\n|OHDR|OCHK|FAHD|FADB|EAHD|EAIB|EASB|EADB|BTHD|BTIN|BTLF|FRHP|FHIB|FHDB|FSHD"
)
MAX_BLOCK_BYTES = 1_024  # of the kinds whose size is found by trying

Block = tuple[int, int]  # first byte, and the byte after the last that the checksum covers; the checksum follows


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
