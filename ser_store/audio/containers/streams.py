"""Compressed streams, of frames or pages: MP3, Ogg and FLAC."""

import struct
from pathlib import Path

from ser_store.audio.containers.chunks import Extent
from ser_store.errors import AudioError


def check_ogg(path: Path, content: bytes) -> None:
    """Refuse what does not end with an end-of-stream page (RFC 3533, section 6), or has streams behind the first."""
    place = streams = 0
    ended = False
    while content[place : place + 4] == b"OggS" and place + 27 <= len(content):
        flags, segments = content[place + 5], content[place + 26]
        body = place + 27 + segments
        end = body + sum(content[place + 27 : body])
        if end > len(content):
            ended = False
            break
        streams += bool(flags & 2)
        ended = bool(flags & 4)
        place = end
    if not ended:
        raise AudioError(
            f"{path} is truncated (its last Ogg page is missing or incomplete): expected a complete recording; "
            f"copy it again or leave it out"
        )
    _refuse_joined(path, streams)


def check_flac(path: Path, content: bytes) -> None:
    """Refuse several files behind each other; whether the one is whole, its decoder knows."""
    _refuse_joined(path, content.count(b"fLaC\0"))  # the name, and the kind of the block that follows


def _refuse_joined(path: Path, streams: int) -> None:
    if streams > 1:
        raise AudioError(
            f"{path} holds {streams} streams, of which only the first would be heard: expected one; convert it again, "
            f"or cut it into its recordings"
        )


_MP3_KBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1, Layer III
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5
}
_MP3_RATES = (44_100, 48_000, 32_000)


def find_mp3_frame(header: bytes) -> int | None:
    """Return the bytes of the MPEG Layer III frame that begins here, if one does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, kbits, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or kbits in (0, 15) or rate == 3:
        return None
    halvings = {3: 0, 2: 1, 0: 2}[version]
    slots = 144_000 if version == 3 else 72_000
    per_second = _MP3_RATES[rate] >> halvings
    return slots * _MP3_KBITS[max(version, 2)][kbits] // per_second + (header[2] >> 1 & 1)


def measure_mp3(path: Path, content: bytes) -> Extent | None:
    """Count an MP3's frames, and compare them with the Xing or LAME index in the first of them, if there is one.

    Raises:
        AudioError: if the last frame is cut off.
    """
    place, first, frames = _find_first_frame(content), None, 0
    while place < len(content):
        frame, tag = find_mp3_frame(content[place : place + 4]), _measure_tag(content, place)
        if not frame and not tag:
            break
        if frame:
            first = place if first is None else first
            frames += 1
        place += frame or tag
    if first is None:
        return None
    if place > len(content):
        raise AudioError(
            f"{path} is truncated (its last MP3 frame is incomplete): expected a complete recording; copy it again or "
            f"leave it out"
        )
    return _compare_with_index(content, first, frames, behind=content[place:])


def _find_first_frame(content: bytes) -> int:
    """Where two frames follow each other, behind tags, zeros and the like; the end of ``content`` if none do."""
    place = 0
    while tag := _measure_tag(content, place):
        place += tag
    while 0 <= place < len(content):
        length = find_mp3_frame(content[place : place + 4])
        following = place + (length or 0)
        if length and (following >= len(content) or find_mp3_frame(content[following : following + 4])):
            return place
        place = content.find(b"\xff", place + 1)
    return len(content)


def _measure_tag(content: bytes, place: int) -> int:
    """Bytes of the ID3 tag (of either version) that begins here, or 0."""
    if content.startswith(b"TAG", place):
        return 128
    if not content.startswith(b"ID3", place):
        return 0
    # Four 7-bit digits; the header of 10 bytes is not counted, nor is a footer of the same size.
    digits = content[place + 6 : place + 10]
    footer = 10 if content[place + 5 : place + 6] >= b"\x10" else 0
    return 10 + footer + sum(digit << shift for digit, shift in zip(digits, (21, 14, 7, 0), strict=False))


def _compare_with_index(content: bytes, first: int, frames: int, *, behind: bytes) -> Extent:
    samples = 1_152 if content[first + 1] >> 3 & 3 == 3 else 576
    # Encoders put up to three frames around the recording, which decoders take away again.
    least = max(0, frames - 4) * samples
    unread = 0 if behind.startswith((b"APETAGEX", b"LYRICSBEGIN")) else len(behind.strip(b"\0"))
    head = content[first : first + 64]
    index = max(head.find(b"Xing"), head.find(b"Info"))
    flags = head[index + 7] if index >= 0 and index + 16 <= len(head) else 0
    if not flags & 1:
        return Extent(None, frames, "MP3 frames", unread, None, least)
    stated = int.from_bytes(head[index + 8 : index + 12], "big")
    frames -= 1  # that of the index; some encoders count it too
    repair = None
    if stated < frames:  # and how many bytes they have, where the index says that
        mended = struct.pack(">II", frames, len(content) - len(behind) - first)
        repair = (first + index + 8, mended[: 8 if flags & 2 else 4])
    return Extent(stated, frames, "MP3 frames", unread, repair, least, slack=1)
