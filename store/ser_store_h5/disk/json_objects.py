"""JSON objects that nobody vouches for: what two programs could read differently is refused.

Those of ``run.json`` and ``curves.jsonl`` bear a checksum as their last key, over the bytes that stand before it: not
over values, so that no two programs need agree on how numbers are written.
"""

import hashlib
import json
import math
import zlib
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NoReturn

_RECORD = b'"sha256": "', b'"\n}\n'
_LINE = b'"crc32": "', b'"}'
_SHA_DIGITS, _CRC_DIGITS = 64, 8
RECORD_KEY, LINE_KEY = "sha256", "crc32"


class JsonProblem(ValueError):
    """What is wrong with a text that should be a JSON object."""


def without_nan(value: Any) -> Any:
    """Numbers that are not finite become None: JSON has no other way to say them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return value


def parse_object(content: bytes | str) -> dict[str, Any]:
    """The object that ``content`` is, in UTF-8.

    Raises:
        JsonProblem: if it is no JSON object, says one key twice, or holds a number that JSON does not have.
    """
    try:
        text = content if isinstance(content, str) else content.decode()
        found = json.loads(text, object_pairs_hook=_refuse_twins, parse_constant=_refuse_constant)
    except JsonProblem:
        raise
    except (ValueError, RecursionError) as problem:
        raise JsonProblem("is not JSON") from problem
    if not isinstance(found, dict):
        raise JsonProblem("is no JSON object")
    return found


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise JsonProblem("says one key twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise JsonProblem(f"holds {name}, which is no number in JSON")


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
