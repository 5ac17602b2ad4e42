"""Files appear whole or not at all: written beside their place, flushed to the disk, then given their name."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ser_store_h5.errors import ExistsError, StoreError

LEFTOVER_SUFFIX = ".partial"
BLOCK_BYTES = 1 << 16


@contextmanager
def stated_disk_problems(path: Path) -> Iterator[None]:
    """Turn what the operating system says about ``path`` into one line."""
    try:
        yield
    except OSError as problem:
        reason = problem.strerror or str(problem).splitlines()[0]
        raise StoreError(
            f"{path}: could not be written ({reason}); nothing there was changed: check space and permissions, "
            "then run the command again"
        ) from problem


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _give_name(temporary: Path, path: Path) -> None:
    """Name the file unless the name is taken: of two writers exactly one succeeds."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise ExistsError(f"{path} is there already: nothing written is overwritten") from None
    except (OSError, NotImplementedError) as problem:  # file systems without hard links, such as exFAT
        if path.exists():
            raise ExistsError(f"{path} is there already: nothing written is overwritten") from problem
        temporary.replace(path)
        return
    temporary.unlink()


def write_atomically(path: Path, write: Callable[[Path], None], *, replace: bool = False) -> None:
    """Let ``write`` fill a temporary file in the folder of ``path``, then give it that name.

    ``write`` leaves the file closed and flushed to the disk. A kill at any instant leaves the old state or the new
    one, and at most a ``.partial`` file that no reader looks at.

    Raises:
        ExistsError: if ``path`` exists and ``replace`` is not set.
        StoreError: for a full disk, a read-only folder and the like.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{LEFTOVER_SUFFIX}")
    with stated_disk_problems(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            if replace:
                temporary.replace(path)
            else:
                _give_name(temporary, path)
            _sync_folder(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a small UTF-8 text file whole or not at all."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    write_atomically(path, write, replace=replace)


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it: at once for every reader, since it first gets the name of a leftover."""
    leftover = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}{LEFTOVER_SUFFIX}")
    with stated_disk_problems(folder):
        folder.rename(leftover)
    import shutil  # with its compressors it takes longer to import than a small store to read

    shutil.rmtree(leftover, ignore_errors=True)


def is_leftover(path: Path) -> bool:
    """Whether a killed writer left it there; no reader looks at it."""
    return path.name.startswith(".") and path.name.endswith(LEFTOVER_SUFFIX)


def append_line(path: Path, line: str) -> None:
    """Append one line and flush it to the disk. A kill can tear the last line only; the next writer cuts it off."""
    with stated_disk_problems(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            _cut_torn_line(file)
        with path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                rest = line.encode() + b"\n"
                while rest:  # a disk that fills up takes a part first, and refuses the rest
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise


def _cut_torn_line(file: BinaryIO) -> None:
    size = end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = file.seek(max(0, end - BLOCK_BYTES))
        block = file.read(end - start)
        end = start + block.rfind(b"\n") + 1
        if b"\n" in block:
            break
    if end < size:
        file.truncate(end)
