"""Verification: every byte of a store is hashed, every structure read, and what is wrong is listed by file."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ser_store_h5 import runs
from ser_store_h5.corpus import Corpus
from ser_store_h5.corpus_file import read_corpus, read_corpus_group
from ser_store_h5.disk.reading import check_inside, list_names
from ser_store_h5.errors import FormatError, StoreError
from ser_store_h5.findings import TWINS, FileProblem, Findings, Verification
from ser_store_h5.hdf5.arrays import StoredArray
from ser_store_h5.hdf5.groups import Group
from ser_store_h5.hdf5.seal import check_seal, open_body
from ser_store_h5.integrity.sweeping import name_leftovers
from ser_store_h5.member_file import open_member
from ser_store_h5.names import (
    RUN_TEXTS,
    check_run_name,
    find_twins,
    is_litter,
    is_on_hub,
    is_run_file,
    member_group,
    parse_member_file,
    parse_member_group,
)
from ser_store_h5.places.packed import PackedPlace, find_corpus, find_run, find_texts, open_packed_member
from ser_store_h5.places.published import fetch_store
from ser_store_h5.progress import Progress, ProgressLike, silent, to_progress
from ser_store_h5.runs import read_curves, read_run
from ser_store_h5.store import Store, StoreLike

CHECKPOINTS = "checkpoints"
THREADS = min(4, os.cpu_count() or 1)  # hashing lets the others run
SPAN_BYTES = 1 << 18  # read once and hashed twice: it stays in the processor's cache
LARGE_BYTES = 1 << 20  # smaller files are verified sooner than a thread takes them over


def verify_store(store: StoreLike, *, progress: ProgressLike = False) -> Verification:
    """Read every file of a store, or all of a packed one, and compare it with its checksums.

    Args:
        store: an open store, or the path of one.
        progress: show a bar over the runs; or a function that does, see :class:`.progress.Progress`.

    Raises:
        StoreError: if there is no store at the path; damage is returned, not raised.

    >>> import ser_store as ss
    >>> ss.verify_store(ss.open_example()).ok
    True
    """
    started = time.perf_counter()
    path = store.path if isinstance(store, Store) else fetch_store(store) if is_on_hub(store) else Path(store)
    shown = to_progress(progress)
    found = verify_pack(path, progress=shown) if path.is_file() else _verify_folder(Store(path).path, shown)
    return replace(found, seconds=time.perf_counter() - started)


def _verify_folder(root: Path, progress: Progress) -> Verification:
    from concurrent.futures import ThreadPoolExecutor  # it loads logging

    found, corpus, runs = Findings(root), None, root / "runs"
    with found.noting("corpus.h5"):
        check_inside(root / "corpus.h5", root)
        corpus = read_corpus(root / "corpus.h5")
        check_seal(root / "corpus.h5")
    if os.path.lexists(runs) and (runs.is_symlink() or not runs.is_dir()):
        found.add("runs", "expected a folder of runs, not a file or a link")
    leftovers = name_leftovers(root)
    places = [] if runs.is_symlink() else sorted(set(runs.glob("*")) - {root / name for name in leftovers})
    listed = {run: _list(run) for run in places if not _is_litter(run)}
    for one, other in find_twins(run.name for run in listed):
        found.add(f"runs/{other}", TWINS.format(one))
    files = [root / "corpus.h5"]
    look = partial(_look_at, root, corpus)
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            large = [file for held in listed.values() for file in held if _measure(file) >= LARGE_BYTES]
            begun = {file: pool.submit(look, file) for file in large}
            for run in progress(list(listed), total=len(listed), label="verifying"):
                with found.noting(f"runs/{run.name}"):
                    _verify_run_folder(run, root)
                for file in dict.fromkeys([run / "run.json", *listed[run]] if listed[run] else []):
                    found.problems += begun[file].result() if file in begun else look(file)
                    files += [file] if is_run_file(file.name) else []
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Verification(len(files), sum(map(_measure, files)), tuple(found.problems), tuple(leftovers))


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


def _verify_run_folder(folder: Path, root: Path) -> None:
    check_inside(folder, root)
    if not folder.is_dir():
        raise FormatError(f"{folder}: expected the folder of a run, not a file or a link")
    list_names(folder)


def _look_at(root: Path, corpus: Corpus | None, file: Path) -> list[FileProblem]:
    """What is wrong with a file in the folder of a run."""
    found = Findings(root)
    with found.noting(str(file.relative_to(root))):
        if file.name == "run.json":
            check_run_name(file.parent.name)
            read_run(file.parent)
        elif file.name == "curves.jsonl":
            read_curves(file.parent)
        elif parse_member_file(file.name) is not None:
            check_inside(file, root)
            _verify_member(file, corpus)
        elif file.name != CHECKPOINTS:
            raise FormatError(f"{file}: expected no such file in a run's folder")
    return found.problems


def _verify_member(file: Path, corpus: Corpus | None) -> None:
    """In one pass where all is well; else arrays first, so that damage is put down to a dataset where it can be."""
    if corpus is not None:
        with open_member(file, corpus) as opened:
            opened.read_rows()
            if is_whole(file, opened.find_arrays(), opened.check):
                opened.describe()
                return
            opened.verify()
    check_seal(file)


def is_whole(path: Path, arrays: Mapping[str, StoredArray], check: Callable[[str, NDArray[Any]], None]) -> bool:
    """Whether the seal of a file and the digests of all its arrays agree with its bytes, told in one pass over them.

    Read once and hashed twice while they are in the processor's cache, they take half the time of a look at the
    arrays, each chunk with its checksum, and then at the file.

    Args:
        arrays: all arrays of the open file.
        check: called with the name and some rows of an array, one after the other; raises if they cannot be right.

    Returns:
        False says only that the arrays must be read one by one to tell what is wrong, if anything is.
    """
    with open_body(path) as (body, seal):
        for name, array in sorted(arrays.items(), key=lambda item: item[1].start):
            digest, dtype, left = array.begin_digest(), array.dtype.newbyteorder("<"), array.nbytes
            for start, size in array.iter_spans(SPAN_BYTES):
                if start < body.place:  # chunks that do not stand in order
                    return False
                span = body.take_at(start, size)
                if len(span) < size:
                    return False
                content = array.join(span)[:left]
                digest.update(content)
                check(name, content.view(dtype).reshape(-1, *array.shape[1:]))
                left -= len(content)
            if digest.hexdigest() != array.read_digest():
                return False
        return seal == body.finish()


def verify_pack(path: Path, *, progress: Progress = silent) -> Verification:
    """Hash and read everything in a packed store.

    Args:
        progress: wraps the names of the runs.

    Returns:
        One file; a problem's ``file`` is the place in it, such as ``runs/xlsr53/step-001100``, or the file's own name.
    """
    found = Findings(path)
    with found.noting(path.name):
        place = PackedPlace(path)
        with place.open() as root:
            _verify_root(root, found, progress)
    if not found.problems:
        with found.noting(path.name):
            check_seal(path)
    return Verification(1, path.stat().st_size, tuple(found.problems), tuple(name_leftovers(path)))


def _verify_root(root: Group, found: Findings, progress: Progress) -> None:
    corpus = None
    with found.noting("corpus"):
        corpus = read_corpus_group(find_corpus(root))
    inside = root.group("runs")
    names = [] if inside is None else inside.names()
    for one, other in find_twins(names):
        found.add(f"runs/{other}", TWINS.format(one))
    left = root.file_bytes
    for run in progress(names, total=len(names), label="verifying"):
        with found.noting(f"runs/{run}"):
            left = _verify_run(root, check_run_name(run), corpus, found, left)


def _verify_run(root: Group, run: str, corpus: Corpus | None, found: Findings, left: int) -> int:
    """Verify one run; of the bytes that the file holds, returns those that no member has claimed yet."""
    group = find_run(root, run)
    with found.noting(f"runs/{run}"):
        for name, stored in find_texts(group).items():
            content = stored.read().tobytes()
            if name == "run.json":
                runs.parse_run(content, run=run, where=stored.where)
            else:
                runs.parse_curves(content, where=stored.where)
    for name in group.names():
        step = parse_member_group(name)
        if step is not None and corpus is not None:
            with (
                found.noting(f"runs/{run}/{member_group(step)}"),
                open_packed_member(root, corpus, run, step) as member,
            ):
                left -= sum(member.describe().dataset_bytes.values())
                if left < 0:
                    raise FormatError("claims, with the members before it, more bytes than their file holds")
                member.verify()
        elif step is None and name not in RUN_TEXTS:
            found.add(f"runs/{run}/{name}", "expected no such name in the group of a run")
    return left
