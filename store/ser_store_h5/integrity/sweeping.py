"""Leftovers of writers that were killed: found by verification, removed by one that spares who is still at work."""

import errno
import glob
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ser_store_h5.disk.appending import cut_torn_line, measure_torn_line
from ser_store_h5.disk.atomic import LEFTOVER_SUFFIX, is_leftover, remove_tree
from ser_store_h5.disk.locking import act_if_free
from ser_store_h5.errors import SerstoreError, StoreError
from ser_store_h5.names import is_run_name
from ser_store_h5.readable import open_place
from ser_store_h5.runs import read_curves
from ser_store_h5.store import Store, StoreLike

TORN = " (torn last line)"


@dataclass(frozen=True)
class Swept:
    """What was removed.

    Attributes:
        removed: what was removed, or would be if the run were not dry: the names that
            :class:`.verify.Verification` has in ``leftovers``.
        in_use: leftovers that a living writer holds, or may hold where the file system has no locks.
        bytes: the space that was freed, or would be.
    """

    removed: tuple[str, ...]
    in_use: tuple[str, ...]
    bytes: int


def find_beside(root: Path) -> list[Path]:
    """What a pack, or an unpacking, to ``root`` left beside it when it was killed."""
    place = Path(os.path.abspath(root))  # noqa: PTH100 - a link to a store has its own name
    return sorted(place.parent.glob(f".{glob.escape(place.name)}.{'[0-9a-f]' * 12}{LEFTOVER_SUFFIX}"))


def find_leftovers(root: Path) -> list[Path]:
    """Files and folders of writers that did not finish: ``.partial`` ones, and runs that hold nothing else."""
    found = sorted(root.glob(f".*{LEFTOVER_SUFFIX}"))
    for folder in _find_runs(root):
        if is_leftover(folder) or _holds_nothing(folder):
            found.append(folder)
        elif _is_folder(folder):
            found += sorted(folder.glob(f".*{LEFTOVER_SUFFIX}"))
    return found


def find_torn(root: Path) -> list[Path]:
    """Curves that are whole but for a last line torn by a kill."""
    return [folder / "curves.jsonl" for folder in _find_runs(root) if _is_folder(folder) and _is_torn(folder)]


def name_leftovers(root: Path) -> list[str]:
    """What :func:`find_leftovers` and :func:`find_torn` find, by the names that verification and sweeps give it."""
    return [name for _, name in _list(root)]


def _list(root: Path) -> list[tuple[Path, str]]:
    """What was left in a store and beside it, each with its name."""
    return [
        *[(path, f"../{path.name}") for path in find_beside(root)],
        *[(path, str(path.relative_to(root))) for path in find_leftovers(root)],
        *[(path, f"{path.relative_to(root)}{TORN}") for path in find_torn(root)],
    ]


def _find_runs(root: Path) -> list[Path]:
    return sorted((root / "runs").glob("*")) if _is_folder(root / "runs") else []


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _holds_nothing(folder: Path) -> bool:
    """Whether a run was killed while its record was being written, before anything could be added to it."""
    if not is_run_name(folder.name) or not _is_folder(folder):
        return False
    try:
        return all(is_leftover(found) for found in folder.iterdir())
    except (FileNotFoundError, PermissionError):
        return False


def _is_torn(run: Path) -> bool:
    try:
        read_curves(run)
        return measure_torn_line(run / "curves.jsonl") > 0
    except (SerstoreError, OSError):  # damaged or gone: nothing is to be cut
        return False


def gc(store: StoreLike, *, dry_run: bool = False) -> Swept:
    """Remove what killed writers left in a store; what a living writer holds is left alone and named.

    Writers lock their temporary files (FORMAT.md, section 1). Where the file system has no locks, what is younger than
    an hour is taken to be in use.

    Args:
        store: the folder of a store, or one in which a store was begun and nothing else is; or a packed file, or a
            place where there is nothing yet, to remove what a killed ``pack`` or ``unpack`` left beside it.
        dry_run: only say what would be removed.

    Raises:
        StoreError: if there is no store, it is a packed file, or a leftover may not be removed.

    >>> import ser_store as ss
    >>> store = ss.Store.create("my.store", ids=["a", "b"], labels=["happy", "sad"])
    >>> ss.gc(store).removed
    ()
    """
    root = store.path if isinstance(store, Store) else Path(store)
    if not find_beside(root) or (root.is_dir() and any(root.iterdir())):
        _require_store(root)
    removed, in_use, freed = [], [], 0
    for found, name in _list(root):
        try:
            with _stated(found):
                freed += _cut(found, dry_run) if name.endswith(TORN) else _remove(found, dry_run)
        except _InUseError:
            in_use.append(name)
        except FileNotFoundError:  # its writer has finished
            continue
        else:
            removed.append(name)
    return Swept(tuple(removed), tuple(in_use), freed)


def _require_store(root: Path) -> None:
    """Refuse what is neither a store nor one that was only begun."""
    if root.is_file():
        raise StoreError(
            f"{root} is a file: expected the folder of a store; a packed store is never written to again, so there is "
            "nothing to remove"
        )
    held = list(root.iterdir()) if root.is_dir() else []
    if not held or not all(is_leftover(found) and found.name.startswith(".corpus.h5.") for found in held):
        open_place(root)


class _InUseError(Exception):
    """A writer holds it."""


@contextmanager
def _stated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as problem:
        if problem.errno in (errno.ENOTEMPTY, errno.EEXIST):  # a writer has begun in a folder that held nothing
            raise _InUseError from problem
        raise StoreError(
            f"{path}: could not be removed ({problem.strerror}): check permissions, then run the command again"
        ) from problem


def _cut(curves: Path, dry_run: bool) -> int:
    torn = measure_torn_line(curves)
    if not (act_if_free(curves, lambda _: None) if dry_run else cut_torn_line(curves)):
        raise _InUseError
    return torn


def _remove(leftover: Path, dry_run: bool) -> int:
    """Remove a file or folder; returns the bytes that this frees.

    Raises:
        _InUseError: if a writer holds it or anything in it; nothing is removed then.
    """
    if not _is_folder(leftover):
        return _remove_file(leftover, dry_run=dry_run)
    if is_leftover(leftover) and os.name != "nt" and not act_if_free(leftover, lambda _: None):
        raise _InUseError
    inside = [found for found in leftover.rglob("*") if not _is_folder(found)]
    if not is_leftover(leftover):
        inside = [found for found in inside if is_leftover(found)]  # its writer may just have finished
    freed = sum(_measure(found) for found in inside)
    for found in inside:
        if is_leftover(found):
            _remove_file(found, dry_run=True)
    if not dry_run:
        _remove_folder(leftover, inside)
    return freed


def _remove_folder(leftover: Path, inside: list[Path]) -> None:
    if not is_leftover(leftover):
        for found in inside:
            _remove_file(found, dry_run=False)
        leftover.rmdir()
        return
    remove_tree(leftover)  # somebody else may be removing it as well
    if leftover.exists():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _measure(file: Path) -> int:
    """What removing a file frees: nothing where a member is the same file by another name."""
    found = file.lstat()
    return found.st_size if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else 0


def _remove_file(file: Path, *, dry_run: bool) -> int:
    freed = _measure(file)
    if not stat.S_ISREG(file.lstat().st_mode):  # writers make neither links nor pipes
        is_free = True
        if not dry_run:
            file.unlink()
    else:
        is_free = act_if_free(file, lambda _: None if dry_run else file.unlink())
    if not is_free:
        raise _InUseError
    return freed
