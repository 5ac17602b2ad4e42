"""Containers of chunks with a name and a length: WAV, RF64, W64, AIFF and CAF; and the plain headers of AU and NIST."""

import math
import re
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ser_store.errors import AudioError

# Writers that count their own header as audio: 44 bytes, 80 with an extensible format and a fact chunk.
_HEADER_COUNTED = 80
UNSTATED = "does not state its length: read to its end; whether it is whole is not known"


class Extent(NamedTuple):
    """How much audio a file states and holds.

    Attributes:
        stated: by its headers; None where they state no length.
        present: in the file.
        unit: of the two, in words.
        behind: bytes behind the stated audio that are neither audio nor anything else known.
        repair: a place in the file and the bytes to read there, so that a decoder hears all that is present.
        least_samples: fewer, decoded, are not all of it.
        slack: how much may be missing without the file being cut off.
    """

    stated: int | None
    present: int
    unit: str = "bytes of audio"
    behind: int = 0
    repair: tuple[int, bytes] | None = None
    least_samples: int = 0
    slack: int = _HEADER_COUNTED

    def describe(self) -> str | None:
        """Return what the header says that is not so, and what was read; None where all is as it says."""
        if self.stated is None:
            return UNSTATED
        if self.stated != self.present:
            return f"states {self.stated:,} {self.unit} and holds {self.present:,}: read to its end"
        if self.behind:
            return f"holds {self.behind:,} bytes behind the {self.stated:,} {self.unit} that it states: not read"
        return None


def truncated(path: Path, *, present: int, stated: int, unit: str) -> AudioError:
    return AudioError(
        f"{path} is truncated ({present:,} of {stated:,} {unit}): expected a complete recording; copy it again or "
        f"leave it out"
    )


# Writers to a pipe do not know the length; SoX writes 0x7FFFF000, some less their headers, others 0xFFFFFFFF, -1 or 0.
_UNKNOWN_LENGTH = 0x7FFF0000


class ContainerLayout(NamedTuple):
    """How a container lays out its chunks: each has a name, a length and a body.

    Attributes:
        first: place of the first chunk.
        header: the struct of name and length.
        audio: the beginning of the name of the chunk with the audio.
        counted: bytes of the header that the length includes.
        ahead: bytes of that chunk's body ahead of the audio.
        padding: chunks begin at multiples of it.
    """

    first: int
    header: str
    audio: bytes = b"data"
    counted: int = 0
    ahead: int = 0
    padding: int = 2


LAYOUTS = {
    b"RIFF": ContainerLayout(12, "<4sI"),
    b"RF64": ContainerLayout(12, "<4sI"),
    b"RIFX": ContainerLayout(12, ">4sI"),
    b"FORM": ContainerLayout(12, ">4sI", audio=b"SSND", ahead=8),  # AIFF
    b"riff": ContainerLayout(40, "<16sQ", counted=24, padding=8),  # W64
    b"caff": ContainerLayout(8, ">4sq", ahead=4, padding=1),
}


def measure_chunks(file: BinaryIO, size: int, layout: ContainerLayout) -> Extent | None:
    order, kind = layout.header[0], layout.header[-1]
    header = struct.calcsize(layout.header)
    field = struct.calcsize(order + kind)
    long_length, long_place = None, 0
    place = layout.first
    while place + header <= size:
        name, length = _read_chunk(file, place, layout)
        body = place + header
        if name.startswith(b"ds64") and body + 16 <= size:
            file.seek(body + 8)
            long_place, long_length = body + 8, struct.unpack("<Q", file.read(8))[0]
        elif name.startswith(layout.audio):
            start, besides = body + layout.ahead, layout.counted + layout.ahead
            if long_length is not None and length == 0xFFFFFFFF:
                stated, repair = long_length, (long_place, "<Q", 0)
            else:
                stated, repair = length - besides, (body - field, order + kind, besides)
            end = start + max(stated, -layout.ahead)
            # A recorder that was killed leaves a length of 0; so does one that recorded nothing.
            present = 0 if stated <= 0 and _is_chunk(file, end, size, layout) else max(0, size - start)
            behind = _count_behind(file, end, size, layout) if stated > 0 else 0
            return _compare(present, stated, repair=repair, behind=behind)
        place = body + max(0, length - layout.counted)
        place += -place % layout.padding
    return None


def _read_chunk(file: BinaryIO, place: int, layout: ContainerLayout) -> tuple[bytes, int]:
    file.seek(place)
    name, length = struct.unpack(layout.header, file.read(struct.calcsize(layout.header)))
    return name, length


def _is_chunk(file: BinaryIO, place: int, size: int, layout: ContainerLayout) -> bool:
    """Whether a chunk with a name of four printable characters begins here and ends within the file."""
    header = struct.calcsize(layout.header)
    if place + header > size:
        return False
    name, length = _read_chunk(file, place, layout)
    return name[:4].isascii() and name[:4].decode().isprintable() and place + length <= size


def _count_behind(file: BinaryIO, end: int, size: int, layout: ContainerLayout) -> int:
    """Bytes behind the audio, unless they are chunks or nothing but zeros."""
    padded = end + -end % layout.padding
    if end >= size or any(_is_chunk(file, place, size, layout) for place in (end, padded)):
        return 0
    file.seek(end)
    return size - end if size - padded >= struct.calcsize(layout.header) and file.read().strip(b"\0") else 0


def measure_au(head: bytes, size: int) -> Extent:
    order = ">" if head[:4] == b".snd" else "<"
    start, stated = struct.unpack(f"{order}II", head[4:12])
    behind = max(0, size - start - stated) if stated else 0
    return _compare(max(0, size - start), stated, repair=(8, f"{order}I", 0), behind=behind)


def measure_nist(head: bytes, size: int) -> Extent:
    """Measure NIST SPHERE, as of TIMIT: a header in text, whose own size stands in its second line."""
    named = dict(re.findall(rb"(\w+) -\w+ (\d+)", head))
    counts = [int(named.get(name, 0)) for name in (b"sample_count", b"channel_count", b"sample_n_bytes")]
    stated, start = math.prod(counts), head[8:16].strip()
    present = size - (int(start) if start.isdigit() else len(head))
    return Extent(stated or None, min(stated or present, present))


def _compare(present: int, stated: int, *, repair: tuple[int, str, int], behind: int = 0) -> Extent:
    """Of audio up to the end of the file; ``repair``: place and struct of the length, and what it counts besides."""
    place, kind, besides = repair
    unknown = stated <= 0 < present or (stated >= _UNKNOWN_LENGTH and stated > present)
    held = stated if 0 < stated <= present else present
    mended = None if stated == held else (place, struct.pack(kind, held + besides))
    return Extent(None if unknown else stated, held, behind=behind, repair=mended)
