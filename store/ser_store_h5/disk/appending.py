"""Files of lines that only grow: a kill tears the last line at most, and of many writers each waits its turn."""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ser_store_h5.disk.atomic import stated_disk_problems, write_all, write_bytes_atomically
from ser_store_h5.disk.locking import Lock, act_if_free, is_at, try_lock
from ser_store_h5.errors import ExistsError, StoreError

BLOCK_BYTES = 1 << 16
PATIENCE_S = 10.0
_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)  # a stranger's link would have us write to a file elsewhere


def append_line(path: Path, line: bytes, *, check_torn: Callable[[bytes], object] = bytes) -> None:
    """Append one line and flush it to the disk. A kill can tear the last line only; the next writer cuts it off.

    Args:
        check_torn: is shown what is to be cut off, and raises if no kill can have left that.

    Raises:
        StoreError: for a full disk, a folder that is gone and the like, or if another process keeps the file.
    """
    whole = line + b"\n"
    if not os.path.lexists(path):  # the first line comes with the file, so that none is left empty
        with suppress(ExistsError):
            write_bytes_atomically(path, whole, below=path.parent)
            return
    with stated_disk_problems(path):
        handle = _open_locked(path)
        try:
            end, size = _find_end(handle)
            if end < size:
                os.lseek(handle, end, os.SEEK_SET)
                check_torn(os.read(handle, size - end))
            _append(handle, path, whole)
        finally:
            os.close(handle)


def _append(handle: int, path: Path, line: bytes) -> None:
    end = _cut_torn_line(handle)
    try:
        write_all(handle, line)
        os.fsync(handle)
        if not is_at(handle, path):
            raise FileNotFoundError(errno.ENOENT, "removed while it was being written")
    except BaseException:
        with suppress(OSError):
            os.ftruncate(handle, end)
        raise


def _open_locked(path: Path) -> int:
    """The file, open for appending, when no other process appends to it any more."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        handle = os.open(path, _FLAGS | _NO_LINKS)
        try:
            lock = try_lock(handle)
            if lock is not Lock.BUSY and is_at(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if time.monotonic() > deadline:
            raise StoreError(
                f"{path}: another process has been writing to it for {PATIENCE_S:.0f} s: expected it to finish; end "
                "it, then run the command again"
            )
        if lock is Lock.BUSY:
            time.sleep(0.001)


def measure_torn_line(path: Path) -> int:
    """Size in bytes of what a killed writer left of its last line; 0 where it left nothing."""
    handle = os.open(path, _FLAGS & ~os.O_RDWR & ~os.O_APPEND | _NO_LINKS)
    try:
        end, size = _find_end(handle)
        return size - end
    finally:
        os.close(handle)


def cut_torn_line(path: Path) -> bool:
    """Cut off what a killed writer left of its last line, unless somebody is writing; whether nobody is."""
    return act_if_free(path, _cut_torn_line)


def _find_end(handle: int) -> tuple[int, int]:
    """The end of the last whole line, and the size of the file; they differ where the last line is torn."""
    size = end = os.lseek(handle, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        os.lseek(handle, start, os.SEEK_SET)
        block = os.read(handle, end - start)
        end = start + block.rfind(b"\n") + 1
        if b"\n" in block:
            break
    return end, size


def _cut_torn_line(handle: int) -> int:
    """The end of the file, after what a killed writer left of its last line has been cut off."""
    end, size = _find_end(handle)
    if end < size:
        os.ftruncate(handle, end)
    return end
