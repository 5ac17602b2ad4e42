"""Random damage to the bytes of a file: as it comes, under a seal that fits, or under checksums that fit as well."""

import hashlib
from collections.abc import Callable

import numpy as np
from hdf5_blocks import SEAL_BYTES, Block, repair

Random = np.random.Generator
KINDS = ("unsealed", "sealed", "checksummed")
EDGES = [0, 1, 2, 3, 4, 7, 8, 9, 0x10, 0x1F, 0x20, 0x40, 0x7F, 0x80, 0xFE, 0xFF]
LARGE = [0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1]


def _flip_bit(image: bytearray, at: int, random: Random) -> None:
    image[at] ^= 1 << int(random.integers(8))


def _set_byte(image: bytearray, at: int, random: Random) -> None:
    image[at] = int(random.choice(EDGES)) if random.random() < 0.6 else int(random.integers(256))


def _set_number(image: bytearray, at: int, random: Random) -> None:
    width = 2 ** int(random.integers(1, 4))
    number = LARGE[int(random.integers(len(LARGE)))] + int(random.integers(-2, 3))
    image[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")


def _nudge(image: bytearray, at: int, random: Random) -> None:
    image[at] = (image[at] + int(random.integers(-3, 4))) % 256


def _zero_run(image: bytearray, at: int, random: Random) -> None:
    end = min(len(image), at + int(random.integers(1, 40)))
    image[at:end] = bytes(end - at)


def _copy_block(image: bytearray, at: int, random: Random) -> None:
    n = int(random.integers(1, 64))
    source = int(random.integers(SEAL_BYTES, len(image)))
    block = image[source : source + n][: len(image) - at]
    image[at : at + len(block)] = block


IN_PLACE: list[Callable[[bytearray, int, Random], None]] = [
    _flip_bit,
    _set_byte,
    _set_byte,
    _set_number,
    _nudge,
    _zero_run,
    _copy_block,
]


def seal(image: bytearray) -> None:
    """Make the seal fit what follows it."""
    magic = b"serstore HDF5 file; the HDF5 data begin at byte 512; see FORMAT.md\n"
    stated = f"size {len(image):020d}\nsha256 {hashlib.sha256(image[SEAL_BYTES:]).hexdigest()}\n".encode()
    image[:SEAL_BYTES] = (magic + stated).ljust(SEAL_BYTES - 1, b"-") + b"\n"


def _splice(image: bytearray, random: Random) -> None:
    """Cut bytes out, put bytes in, cut the end off, or add to it: all that follows moves."""
    at, kind = int(random.integers(SEAL_BYTES, len(image))), int(random.integers(4))
    n = int(random.integers(1, 64))
    if kind == 0:
        del image[at : at + n]
    elif kind == 1:
        image[at:at] = random.bytes(n)
    elif kind == 2:
        del image[at:]
    else:
        image += random.bytes(n)


def damage(image: bytes, blocks: list[Block], kind: str, random: Random) -> bytes:
    """A copy with other bytes. ``unsealed`` keeps the seal as it was, so that it no longer fits."""
    while (damaged := _damage_once(image, blocks, kind, random)) == image:
        pass
    return damaged


def _damage_once(image: bytes, blocks: list[Block], kind: str, random: Random) -> bytes:
    damaged = bytearray(image)
    if kind != "checksummed" and random.random() < 0.2:
        _splice(damaged, random)
    else:
        for _ in range(int(random.integers(1, 4))):
            first = 0 if kind == "unsealed" else SEAL_BYTES
            start, end = blocks[int(random.integers(len(blocks)))] if kind == "checksummed" else (first, len(image))
            IN_PLACE[int(random.integers(len(IN_PLACE)))](damaged, int(random.integers(start, end)), random)
    del damaged[len(image) + 64 :]
    if kind == "checksummed":
        repair(damaged, blocks)
    if kind != "unsealed":
        seal(damaged)
    return bytes(damaged)
