"""Verification: every byte of a store is hashed, every structure read, and what is wrong is listed by file."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ser_store_h5.corpus import Corpus
from ser_store_h5.corpus_file import read_corpus
from ser_store_h5.disk.inside import check_inside
from ser_store_h5.errors import FormatError, SerstoreError, StoreError
from ser_store_h5.findings import TWINS, Problem
from ser_store_h5.hdf5.seal import check_seal
from ser_store_h5.integrity.sweeping import name_leftovers
from ser_store_h5.integrity.verification import Verification, Watch
from ser_store_h5.integrity.verify_packed import verify_pack
from ser_store_h5.integrity.whole import is_whole
from ser_store_h5.member_file import open_member
from ser_store_h5.names import check_run_name, find_twins, is_litter, is_run_file, parse_member_file
from ser_store_h5.places.folder import list_names
from ser_store_h5.runs import read_curves, read_run
from ser_store_h5.store import Store, StoreLike

CHECKPOINTS = "checkpoints"
THREADS = min(4, os.cpu_count() or 1)  # hashing lets the others run
LARGE_BYTES = 1 << 20  # smaller files are verified sooner than a thread takes them over


def verify_store(store: StoreLike, *, watch: Watch = iter) -> Verification:
    """Hash and read every file of a store, or everything in a packed one.

    Args:
        watch: wraps the folders of the runs (their names, in a packed store), to show how far the verification is.

    Raises:
        StoreError: if there is no store at the path; damage is returned, not raised.

    >>> import ser_store as ss
    >>> ss.verify_store(ss.open_example()).ok
    True
    """
    started = time.perf_counter()
    path = store.path if isinstance(store, Store) else Path(store)
    found = verify_pack(path, watch=watch) if path.is_file() else _verify_folder(Store(path).path, watch)
    return replace(found, seconds=time.perf_counter() - started)


def _verify_folder(root: Path, watch: Watch) -> Verification:
    from concurrent.futures import ThreadPoolExecutor  # it loads logging

    look = _Look(root)
    corpus, runs = root / "corpus.h5", root / "runs"
    problems = look.at(corpus, look.verify_corpus) + look.at(runs, look.verify_runs)
    leftovers = name_leftovers(root)
    places = [] if runs.is_symlink() else sorted(set(runs.glob("*")) - {root / name for name in leftovers})
    listed = {run: _list(run) for run in places if not _is_litter(run)}
    problems += [Problem(f"runs/{other}", TWINS.format(one)) for one, other in find_twins(run.name for run in listed)]
    files = [corpus]
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            large = [file for held in listed.values() for file in held if _measure(file) >= LARGE_BYTES]
            found = {file: pool.submit(look.at, file, look.verify_file) for file in large}
            for run in watch(list(listed)):
                problems += look.at(run, look.verify_folder)
                for file in dict.fromkeys([run / "run.json", *listed[run]] if listed[run] else []):
                    problems += found[file].result() if file in found else look.at(file, look.verify_file)
                    files += [file] if is_run_file(file.name) else []
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Verification(len(files), sum(map(_measure, files)), tuple(problems), tuple(leftovers))


def _is_litter(place: Path) -> bool:
    """Whether something below ``runs`` is nothing a user could take for a run."""
    return is_litter(place.name) and not any(is_run_file(file.name) for file in _list(place))


def _list(run: Path) -> list[Path]:
    """What a run's folder holds, without litter and what killed writers left; nothing where nobody may look into it."""
    try:
        check_inside(run, run.parent.parent)
        return sorted(run / name for name in list_names(run) if not is_litter(name))
    except StoreError:
        return []


def _measure(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except FileNotFoundError:
        return 0


class _Look:
    """Looks at one file or folder of a store after the other."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._corpus: Corpus | None = None

    def at(self, file: Path, verify: Callable[[Path], object]) -> list[Problem]:
        """What is wrong with a file: nothing if it was removed meanwhile, and may be."""
        try:
            verify(file)
        except (SerstoreError, OSError) as problem:
            if os.path.lexists(file.parent if file.name in ("run.json", "corpus.h5") else file):
                text = " ".join(str(problem).removeprefix(f"{file}: ").splitlines())
                return [Problem(str(file.relative_to(self._root)), text)]
        return []

    def verify_corpus(self, file: Path) -> None:
        check_inside(file, self._root)
        self._corpus = read_corpus(file)
        check_seal(file)

    def verify_runs(self, folder: Path) -> None:
        if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
            raise FormatError(f"{folder}: expected a folder of runs, not a file or a link")

    def verify_folder(self, folder: Path) -> None:
        check_inside(folder, self._root)
        if not folder.is_dir():
            raise FormatError(f"{folder}: expected the folder of a run, not a file or a link")
        list_names(folder)

    def verify_file(self, file: Path) -> None:
        if file.name == "run.json":
            check_run_name(file.parent.name)
            read_run(file.parent)
        elif file.name == "curves.jsonl":
            read_curves(file.parent)
        elif parse_member_file(file.name) is not None:
            self._verify_member(file)
        elif file.name != CHECKPOINTS:
            raise FormatError(f"{file}: expected no such file in a run's folder")

    def _verify_member(self, file: Path) -> None:
        """In one pass where all is well; else arrays first, so that damage is put down to a dataset where it can be."""
        check_inside(file, self._root)
        if self._corpus is not None:
            with open_member(file, self._corpus) as opened:
                opened.read_rows()
                whole = is_whole(file, opened.find_arrays(), opened.check)
                opened.describe() if whole else opened.verify()
            if whole:
                return
        check_seal(file)
