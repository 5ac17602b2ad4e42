"""Small text files that people write: read with every complaint in one line."""

from pathlib import Path
from typing import Any

from ser_store.errors import SerstoreError

_MAX_BYTES = 1 << 24


def read_text(path: Path, *, expected: str) -> str:
    """Return the text of a file in UTF-8.

    Args:
        expected: what the file should be, in the words of a complaint: ``a recipe``.

    Raises:
        SerstoreError: if it cannot be read, is no such text, or larger than 16 MiB.
    """
    if path.is_file() and path.stat().st_size > _MAX_BYTES:
        raise SerstoreError(f"{path} has {path.stat().st_size:,} bytes: expected {expected} of at most {_MAX_BYTES:,}")
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin a file with the mark of its encoding
    except UnicodeDecodeError as problem:
        raise SerstoreError(f"{path} is no UTF-8 text ({problem.reason}): expected {expected}") from problem
    except OSError as problem:
        raise SerstoreError(
            f"{path} cannot be read ({problem.strerror}): expected {expected}; check the path and its permissions"
        ) from problem


def load_toml(path: Path, *, expected: str, example: str) -> dict[str, Any]:
    """Return what a TOML file states.

    Args:
        expected: as of :func:`read_text`.
        example: how it is written, for who did not: ``lines such as learning_rate = 3e-5``.

    Raises:
        SerstoreError: as :func:`read_text`, or if it is no TOML.
    """
    import tomllib

    try:
        return tomllib.loads(read_text(path, expected=expected))
    except (ValueError, RecursionError) as problem:  # of numbers with thousands of digits, and of lists in lists
        raise SerstoreError(f"{path} is no TOML ({problem}): expected {example}") from problem
