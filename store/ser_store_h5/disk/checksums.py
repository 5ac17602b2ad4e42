"""Checksums of ``run.json`` and ``curves.jsonl``: the last key of the object, over the bytes that stand before it.

They are over bytes, not over values, so that no two programs need agree on how numbers are written.
"""

import hashlib
import zlib
from collections.abc import Callable
from enum import Enum

_RECORD = b'"sha256": "', b'"\n}\n'
_LINE = b'"crc32": "', b'"}'
_SHA_DIGITS, _CRC_DIGITS = 64, 8
RECORD_KEY, LINE_KEY = "sha256", "crc32"


class Check(Enum):
    """What a checksum says of the bytes before it."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    NONE = "none"  # written without one


def _sha256(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _crc32(body: bytes) -> bytes:
    return f"{zlib.crc32(body):08x}".encode()


def seal_record(text: str) -> bytes:
    """A JSON object, as ``json.dumps`` writes it with ``indent=1``, with its checksum as the last key."""
    body = text.encode().removesuffix(b"\n}") + b",\n "
    return body + _RECORD[0] + _sha256(body) + _RECORD[1]


def seal_line(text: str) -> bytes:
    """A JSON object of one line with its checksum as the last key, without a line feed."""
    body = text.encode().removesuffix(b"}")
    body += b", " if body != b"{" else b""
    return body + _LINE[0] + _crc32(body) + _LINE[1]


def check_record(content: bytes) -> Check:
    """Whether a record is as it was written; any one byte that changed is found, be it in the checksum itself."""
    return _check(content, _RECORD, _SHA_DIGITS, _sha256)


def check_line(line: bytes) -> Check:
    """Whether a line, without its line feed, is as it was written."""
    return _check(line, _LINE, _CRC_DIGITS, _crc32)


def _check(content: bytes, frame: tuple[bytes, bytes], digits: int, compute: Callable[[bytes], bytes]) -> Check:
    opening, closing = frame
    tail = content[-len(opening) - digits - len(closing) :]
    body = content[: len(content) - len(tail)]
    is_framed = tail.startswith(opening) and tail.endswith(closing)
    agrees = tail[len(opening) : -len(closing)] == compute(body)
    if is_framed and agrees:
        return Check.WHOLE
    return Check.DAMAGED if is_framed or agrees else Check.NONE
