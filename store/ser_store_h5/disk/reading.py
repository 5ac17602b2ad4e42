"""Files of a store that nobody vouches for: they lie inside its folder, and are files."""

import os
import stat
from pathlib import Path

from ser_store_h5.errors import FormatError, StoreError

_OPEN = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def check_inside(path: Path, root: Path) -> None:
    """Refuse a path below ``root`` that a symbolic link leads out of it; costs one ``lstat`` for each part.

    Raises:
        FormatError: naming the link and where it leads.
    """
    base, place, above = os.fspath(root), os.fspath(path), ""
    while place not in (base, above):
        if os.path.islink(place):  # noqa: PTH114 - reading many members asks so often that making paths would tell
            _check_link(Path(place), root)
        place, above = os.path.dirname(place), place  # noqa: PTH120 - as above


def _check_link(place: Path, root: Path) -> None:
    found = Path(os.path.realpath(place))
    if not found.is_relative_to(os.path.realpath(root)):
        raise FormatError(
            f"{place}: is a symbolic link to {str(found)[:200]!r}, outside the store: expected a file of the store; "
            "copy it in, or add the members of another store with `merge()`, and remove the link"
        )


def open_regular(path: Path) -> int:
    """A handle for reading ``path``, which is a file: a pipe would keep the reader waiting, a device do who knows what.

    Raises:
        FileNotFoundError: if it is not there.
        FormatError: if it is no file.
        StoreError: if the system does not let it be opened.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FormatError(f"{path}: expected a file")
        return os.open(path, _OPEN)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise StoreError(
            f"{path}: cannot be opened ({problem.strerror}): expected a file that may be read; mend that, then run the "
            "command again"
        ) from problem


def list_names(folder: Path) -> list[str]:
    """Names in a folder; none where it is not there."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - making paths takes as long as opening
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise StoreError(
            f"{folder}: cannot be listed ({problem.strerror}): expected a folder that may be read; mend that, then run "
            "the command again"
        ) from problem


def find_place(path: Path | str) -> Path:
    """Return the absolute path, whatever becomes the working directory; ``~`` is the home folder."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - a link to a store has its own name
