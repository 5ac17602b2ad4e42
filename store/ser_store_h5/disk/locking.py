"""Advisory locks: how a writer tells others that it is still at work. Where there are none, nobody waits for any."""

import os
import sys
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

# Where a file system has no locks, only its age tells a leftover from a file that is being written.
SAFE_AGE_S = 3600.0
_OPEN = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)


class Lock(Enum):
    """What came of asking for a lock."""

    HELD = "held"
    BUSY = "busy"  # another process, or another handle of this one, holds it
    NONE = "none"  # the platform or the file system has no locks


def try_lock(handle: int) -> Lock:
    """Lock an open file until the handle is closed or its process ends, however it ends; never waits."""
    if sys.platform == "win32":
        return Lock.NONE
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Lock.BUSY
    except OSError:  # network file systems without a lock server
        return Lock.NONE
    return Lock.HELD


def is_at(handle: int, path: Path) -> bool:
    """Whether an open file still bears the name ``path``: between opening and locking another may have removed it."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def act_if_free(path: Path, act: Callable[[int], object]) -> bool:
    """Call ``act`` with a handle of a file or folder while no writer holds or can lock it; whether that was possible.

    Where there are no locks, a file younger than an hour is taken to be in use.

    Raises:
        FileNotFoundError: if the file is gone, or has got another name.
    """
    try:
        handle = os.open(path, _OPEN)  # for writing, since network file systems lock nothing else
    except (PermissionError, IsADirectoryError):
        handle = os.open(path, _OPEN & ~os.O_RDWR)
    try:
        lock = try_lock(handle)
        if lock is Lock.BUSY:
            return False
        if not is_at(handle, path):
            raise FileNotFoundError
        if lock is Lock.NONE and time.time() - os.fstat(handle).st_mtime < SAFE_AGE_S:
            return False
        act(handle)
        return True
    finally:
        os.close(handle)
