"""Files appear whole or not at all: written beside their place, flushed to the disk, then given their name."""

import errno
import itertools
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ser_store_h5.disk.locking import Lock, is_at, try_lock
from ser_store_h5.errors import ExistsError, StoreError

LEFTOVER_SUFFIX = ".partial"
ATTEMPTS = 100
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
# What file systems without hard links, such as exFAT, say to one; anything else is a problem of the disk.
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EINVAL}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}


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


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    handle = _open_folder(folder)
    try:
        _sync_names(handle)
    finally:
        _close(handle)


def _open_folder(folder: Path) -> int | None:
    return None if os.name == "nt" else os.open(folder, os.O_RDONLY | _FLAGS)  # folders cannot be opened there


def _sync_names(folder: int | None) -> None:
    """Flush the names in a folder to the disk, where the file system can do that at all."""
    if folder is None:
        return
    try:
        os.fsync(folder)
    except OSError as problem:
        if problem.errno not in _NO_FOLDER_SYNC:
            raise


def _close(handle: int | None) -> None:
    if handle is not None:
        with suppress(OSError):
            os.close(handle)


def write_all(handle: int, content: bytes | memoryview) -> None:
    """Write all of it: a disk that fills up takes a part first, and refuses the rest."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def write_flushed(path: Path, content: bytes | memoryview) -> None:
    """Write a file and flush it to the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o666)
    try:
        write_all(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folders(folder: Path, made: list[Path], below: Path | None) -> None:
    """Make a folder and those above it that are missing, and note in ``made`` which those were."""
    if below is not None and not below.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    missing = list(itertools.takewhile(lambda place: not place.exists(), (folder, *folder.parents)))
    for place in reversed(missing):
        with suppress(FileExistsError):
            place.mkdir()
            made.append(place)
        sync_folder(place.parent)


def name_leftover(path: Path) -> Path:
    """A new temporary name beside ``path``."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}{LEFTOVER_SUFFIX}")


def is_leftover(path: Path) -> bool:
    """Whether a writer has not given it its final name; no reader looks at it."""
    return path.name.startswith(".") and path.name.endswith(LEFTOVER_SUFFIX)


def _create_temporary(path: Path, made: list[Path], below: Path | None) -> tuple[Path, int | None]:
    """A new empty file beside ``path`` and the handle that keeps it locked; `gc` may come in between."""
    for _ in range(ATTEMPTS):
        _make_folders(path.parent, made, below)
        temporary = name_leftover(path)
        try:
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
        except FileNotFoundError:
            continue  # the folder was empty, and swept
        if os.name == "nt":  # a file that is open cannot be given another name there
            os.close(handle)
            return temporary, None
        if try_lock(handle) is not Lock.BUSY and is_at(handle, temporary):
            return temporary, handle
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(handle)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


@contextmanager
def growing_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside ``folder``, locked while the block lasts, whose name is then ``folder``; gone if it fails.

    ``folder`` is not there, or empty.
    """
    growing, handle = _create_temporary_folder(folder)
    try:
        yield growing
        sync_folder(growing)
        if folder.is_dir():
            folder.rmdir()
        growing.rename(folder)
        sync_folder(folder.parent)
    except BaseException:
        remove_tree(growing)
        raise
    finally:
        _close(handle)


def _create_temporary_folder(folder: Path) -> tuple[Path, int | None]:
    """A new empty folder beside ``folder`` and the handle that keeps it locked; `gc` may come in between."""
    for _ in range(ATTEMPTS):
        growing = name_leftover(folder)
        growing.mkdir(parents=True)
        with suppress(FileNotFoundError):
            handle = _open_folder(growing)
            if handle is None or (try_lock(handle) is not Lock.BUSY and is_at(handle, growing)):
                return growing, handle
            os.close(handle)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


@contextmanager
def held_folder(folder: Path) -> Iterator[bool]:
    """A folder that bears the name of a leftover, made where it is missing, and locked while the block lasts.

    Yields whether it is ours: not where another process holds it. It goes with the block if it is empty then.
    """
    handle = None
    try:
        with stated_disk_problems(folder):
            folder.mkdir(parents=True, exist_ok=True)
            handle = _open_folder(folder)
        yield handle is None or (try_lock(handle) is not Lock.BUSY and is_at(handle, folder))
    finally:
        with suppress(OSError):
            folder.rmdir()
        _close(handle)


@contextmanager
def _held_temporary(path: Path, below: Path | None) -> Iterator[Path]:
    """A temporary file, locked while the block lasts and gone after it; a block that fails leaves no new folder."""
    made: list[Path] = []
    handle = None
    try:
        temporary, handle = _create_temporary(path, made, below)
        try:
            yield temporary
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):  # somebody else may have put something into it
                folder.rmdir()
        raise
    finally:
        _close(handle)


def _give_name(temporary: Path, path: Path) -> None:
    """Name the file unless the name is taken: of two writers exactly one succeeds."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise ExistsError(f"{path} is there already: nothing written is overwritten") from None
    except NotImplementedError:
        _rename_to_free_name(temporary, path)
    except OSError as problem:
        if problem.errno not in _NO_LINKS:
            raise
        _rename_to_free_name(temporary, path)


def _rename_to_free_name(temporary: Path, path: Path) -> None:
    if os.path.lexists(path):
        raise ExistsError(f"{path} is there already: nothing written is overwritten")
    temporary.replace(path)


def write_atomically(
    path: Path, write: Callable[[Path], None], *, replace: bool = False, below: Path | None = None
) -> None:
    """Let ``write`` fill a temporary file in the folder of ``path``, then give it that name.

    ``write`` finds the file empty and locked (``fcntl.flock``), and leaves it closed and flushed to the disk. A kill at
    any instant leaves the old state or the new one, and at most a ``.partial`` file that no reader looks at.

    Args:
        replace: whether a file of this name may be there; its folder must be, then.
        below: a folder that must be there; only folders below it are made. Default: any are, unless ``replace`` is set.

    Raises:
        ExistsError: if ``path`` exists and ``replace`` is not set.
        StoreError: for a full disk, a read-only folder and the like.
    """
    there = path.parent if replace else below
    with stated_disk_problems(path), _held_temporary(path, there) as temporary:
        folder = _open_folder(path.parent)  # before anything has its name, lest too many files are open then
        try:
            write(temporary)
            if replace:
                temporary.replace(path)
            else:
                _give_name(temporary, path)
            _confirm(folder, path)
        finally:
            _close(folder)


def _confirm(folder: int | None, path: Path) -> None:
    try:
        _sync_names(folder)
    except OSError as problem:
        raise StoreError(
            f"{path}: was written, but the disk does not confirm that it will last ({problem.strerror}): check the "
            "disk, then run `verify_store()`"
        ) from problem


def write_bytes_atomically(
    path: Path, content: bytes | memoryview, *, replace: bool = False, below: Path | None = None
) -> None:
    """Write a file in one piece, whole or not at all; see :func:`write_atomically`."""
    write_atomically(path, lambda temporary: write_flushed(temporary, content), replace=replace, below=below)


def write_text_atomically(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a small UTF-8 text file whole or not at all."""
    write_bytes_atomically(path, text.encode(), replace=replace)


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it: at once for every reader, since it first gets the name of a leftover."""
    leftover = name_leftover(folder)
    with stated_disk_problems(folder):
        folder.rename(leftover)
    remove_tree(leftover)


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it; what cannot be removed stays."""
    import shutil  # with its compressors it takes longer to import than a small store to read

    try:
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as problem:  # interrupted while it closes a folder, it closes it again and says that it is not open
        if isinstance(problem.__context__, KeyboardInterrupt):
            raise problem.__context__ from None
        raise
