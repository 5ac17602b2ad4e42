"""Who trains a run: one process at a time, and none that has been killed."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ser_store.errors import StoreError
from ser_store_h5.disk.locking import Lock, is_at, try_lock

# A leftover to every reader of the store (FORMAT.md, section 1): ignored, and swept unless a process holds it.
LOCK_NAME = ".training.partial"
# Loading processes that were forked from a killed trainer hold its lock until they notice, within seconds.
PATIENCE_SECONDS = 10.0
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Within, no other process trains the run in ``folder``. The lock ends with the process, however that ends.

    Where the file system has no locks, nobody is kept out.

    Raises:
        StoreError: if another process trains it, or its folder is gone.
    """
    path = folder / LOCK_NAME
    handle = _wait_for_lock(path)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(handle)


def refuse_training(folder: Path) -> None:
    """What is to be done with a run waits until nobody trains it.

    Raises:
        StoreError: if a process does, as far as the file system has locks.
    """
    try:
        handle = os.open(folder / LOCK_NAME, _FLAGS)
    except OSError:
        return
    try:
        if try_lock(handle) is Lock.BUSY:
            raise StoreError(
                f"run {folder.name} is being trained: expected one that has ended; wait until it has, or end its "
                "training, which Ctrl-C does"
            )
    finally:
        os.close(handle)


def is_training(folder: Path) -> bool:
    """Return whether a process trains the run in ``folder``, as far as the file system has locks."""
    try:
        refuse_training(folder)
    except StoreError:
        return True
    return False


def _wait_for_lock(path: Path) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            handle = os.open(path, _FLAGS | os.O_CREAT, 0o666)
        except OSError as problem:
            raise StoreError(
                f"{path}: could not be written ({problem.strerror}): expected the folder of a run; check that it is "
                "there, and its permissions"
            ) from problem
        lock = try_lock(handle)
        if lock is not Lock.BUSY and is_at(handle, path):
            return handle
        os.close(handle)
        if lock is Lock.BUSY and time.monotonic() > deadline:
            raise StoreError(
                f"run {path.parent.name} is being trained by another process: expected one at a time; wait until it "
                "has ended, or name another with `run` NAME"
            )
        time.sleep(0.05)
