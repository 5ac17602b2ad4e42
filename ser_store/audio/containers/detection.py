"""What a file is by its first bytes: which container, or what in place of a recording."""

import os
from pathlib import Path

from ser_store.audio.containers.chunks import LAYOUTS, Extent, measure_au, measure_chunks, measure_nist, truncated
from ser_store.audio.containers.streams import check_flac, check_ogg, find_mp3_frame, measure_mp3

_HEAD = 1_024
_CONVERT = "convert it to WAV or FLAC"
# Place, bytes there, what such a file is, and the way out.
_FOREIGN = (
    (0, b"version https://git-lfs", "a Git LFS pointer in place of the recording", "fetch it with `git lfs pull`"),
    (0, b"/annex/objects/", "a git-annex pointer in place of the recording", "fetch it with `git annex get`"),
    (0, b"\0\x05\x16\x07", "an AppleDouble file, in which macOS keeps what goes with the one of the same name "
     "without `._`", "leave it out"),
    (4, b"ftyp", "MPEG-4, such as .m4a and .mp4", _CONVERT),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM", _CONVERT),
    (0, b"0&\xb2u", "Windows Media", _CONVERT),
    (0, b"#!AMR", "AMR", _CONVERT),
    (0, b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it"),
)  # fmt: skip


def measure_extent(path: Path) -> Extent | None:
    """Compare what a WAV (RF64 and W64 too), AIFF, CAF, AU, NIST or MP3 file states with what it holds.

    None for a container that states no length in bytes: FLAC and Ogg, which are checked to be one stream.

    Raises:
        AudioError: if the file is cut off.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD)
        extent = None
        if layout := LAYOUTS.get(head[:4]):
            extent = measure_chunks(file, size, layout)
        elif head[:4] in (b".snd", b"dns.") and len(head) >= 12:
            extent = measure_au(head, size)
        elif head[:4] == b"NIST":
            extent = measure_nist(head, size)
        elif head[:4] == b"OggS":
            check_ogg(path, head + file.read())
        elif head[:4] == b"fLaC":
            check_flac(path, head + file.read())
        elif head[:3] == b"ID3" or find_mp3_frame(head):
            extent = measure_mp3(path, head + file.read())
    if extent is not None and extent.stated is not None and extent.stated - extent.present > extent.slack:
        raise truncated(path, present=extent.present, stated=extent.stated, unit=extent.unit)
    return extent


def name_foreign(path: Path) -> tuple[str, str] | None:
    """Return what a file is that cannot be read as a recording, and the way out; None where that is unknown."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    for place, magic, kind, way_out in _FOREIGN:
        if head.startswith(magic, place):
            return kind, way_out
    if not head.strip(b"\0"):
        return "nothing but zeros", "copy it again or leave it out"
    if len(head) >= 16 and not any(byte < 32 and byte not in b"\t\n\f\r" for byte in head):
        return "text", "fetch the recording that it stands for, or leave it out"
    return None
