"""Packing: a whole store in one HDF5 file, and back, member by member, so that any size fits into little memory."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from ser_store_h5 import __version__, corpus_file, member_file
from ser_store_h5.disk.atomic import (
    LEFTOVER_SUFFIX,
    growing_folder,
    stated_disk_problems,
    sync_folder,
    write_atomically,
    write_flushed,
)
from ser_store_h5.errors import ExistsError, FormatError, StoreError
from ser_store_h5.hdf5.arrays import write_array
from ser_store_h5.hdf5.attributes import write_text
from ser_store_h5.hdf5.files import write_format
from ser_store_h5.hdf5.groups import MAX_ENTRIES
from ser_store_h5.member import MemberInfo
from ser_store_h5.names import find_twins, format_member, member_group
from ser_store_h5.names import member_file as name_member_file
from ser_store_h5.pack.private import find_roots, hide_in_corpus, hide_in_record, hide_paths
from ser_store_h5.pack.streaming import create_file
from ser_store_h5.places.packed import FORMAT_NAME, FORMAT_VERSION, PackedPlace
from ser_store_h5.progress import Progress, ProgressLike, to_progress
from ser_store_h5.runs import compose_point, compose_run
from ser_store_h5.store import Store, StoreLike, open_store


@dataclass(frozen=True)
class PackResult:
    """What was packed: the names of the members, and the size of the file in bytes."""

    members: tuple[str, ...]
    bytes: int


def pack(
    store: StoreLike,
    path: str | os.PathLike[str],
    *,
    members: Sequence[str] | None = None,
    with_pooled: bool = True,
    progress: ProgressLike = False,
) -> PackResult:
    """Write a store into one HDF5 file, to be mailed or archived; :class:`.store.Store` reads it like the folder.

    Absolute paths of this machine are left out: of recordings, checkpoints and models, their last part stays. What
    needs the recordings then asks for ``audio``.

    Args:
        store: an open store, or the path of one.
        path: a new file; it appears whole or not at all.
        members: names; default: every run and every member. With names, only their runs are packed.
        with_pooled: whether pooled representations are packed; without them, members that hold nothing else are left
            out.
        progress: show a bar over the members; or a function that does, see :class:`.progress.Progress`.

    Raises:
        ExistsError: if ``path`` is there.
        IntegrityError: if an array of the store is not what was written; every one is compared with its digest.
        StoreError: if the disk refuses.

    >>> import ser_store as ss
    >>> store = ss.Store.create("my.store", ids=["a", "b"], labels=["happy", "sad"])
    >>> name = store.add("mine", ids=["a", "b"], predicted=["happy", "happy"])
    >>> ss.pack(store, "my.h5").members
    ('mine@0',)
    """
    store, path = open_store(store), Path(path)
    if os.path.lexists(path):
        raise ExistsError(f"{path} is there already: nothing written is overwritten; name a new file")
    without = frozenset[str]() if with_pooled else frozenset({"pooled", "layers"})
    runs = _choose(store, members, without)
    packed = [format_member(run, step) for run, steps in runs.items() for step in steps]
    roots = find_roots(store.corpus, store.path)

    def write(temporary: Path) -> None:
        create = partial(create_file, format_name=FORMAT_NAME, version=FORMAT_VERSION, bears=path)
        with create(temporary) as (file, check_disk):
            write_text(file, "written_by", f"ser-store {__version__}")
            group = _create_group(file, "corpus", corpus_file.FORMAT_NAME, corpus_file.FORMAT_VERSION)
            corpus_file.fill_corpus(group, hide_in_corpus(store.corpus))
            for run in runs:
                _pack_texts(file, run, _read_texts(store, run, roots))
            with store.place.opened(store.header) as open_member:
                for name in to_progress(progress)(packed, total=len(packed), label="packing"):
                    run, step = store.resolve(name)
                    place = f"runs/{run}/{member_group(step)}"
                    with open_member(run, step) as member:
                        version = member_file.choose_version(member.choose_layers(without))
                        group = _create_group(file, place, member_file.FORMAT_NAME, version)
                        provenance = hide_paths(member.read_provenance(), roots)
                        member.copy_into(group, without=without, provenance=provenance)
                    check_disk()

    write_atomically(path, write)
    return PackResult(tuple(packed), path.stat().st_size)


def _choose(store: Store, members: Sequence[str] | None, without: frozenset[str]) -> dict[str, list[int]]:
    """The runs to be packed, and the steps of each."""
    if isinstance(members, str):
        raise StoreError(f"members is the text {members[:120]!r}: expected a sequence of names")
    named = store.member_names() if members is None else members
    chosen = sorted({store.resolve(name) for name in named})
    runs: dict[str, list[int]] = {run: [] for run in (store.runs() if members is None else ())}
    for run, step in chosen:
        info = store.describe_member(format_member(run, step)) if without else None
        if info is None or info.dataset_bytes.keys() - without - {"rows"}:
            runs.setdefault(run, []).append(step)
    _refuse_twins(store.path, runs)
    if any(len(entries) + 2 > MAX_ENTRIES for entries in (runs, *runs.values())):
        raise StoreError(
            f"{store.path} has {len(runs)} runs, one of them with {max(map(len, runs.values()))} members: expected "
            f"fewer than {MAX_ENTRIES - 1} of each; pack some of the members, by name"
        )
    return runs


def _refuse_twins(path: Path, runs: Iterable[str]) -> None:
    for one, other in find_twins(runs):
        raise StoreError(
            f"{path} has runs {one} and {other}, which not every disk tells apart: expected names that differ in more "
            "than case; give one of them another with `rename` of `merge()`, or pack members by name"
        )


def _create_group(file: h5py.File, place: str, format_name: str, version: int) -> h5py.Group:
    group = file.create_group(place)
    write_format(group, format_name, version)
    return group


def _read_texts(store: Store, run: str, roots: Sequence[str]) -> dict[str, bytes]:
    """The bytes of the run's texts, as they are where no absolute path is in them."""
    texts, record, points = store.place.read_texts(run), store.run(run), store.curves(run)
    if (hidden := hide_in_record(record, roots)) != record:
        texts["run.json"] = compose_run(hidden, where=f"run.json of {run}")
    if (shown := hide_paths(points, roots)) != points:
        texts["curves.jsonl"] = b"".join(compose_point(one, where=f"curves of {run}") + b"\n" for one in shown)
    return texts


def _pack_texts(file: h5py.File, run: str, texts: dict[str, bytes]) -> None:
    group = file.create_group(f"runs/{run}")
    for name, content in texts.items():
        if content:
            write_array(group, name, np.frombuffer(content, dtype=np.uint8))


def unpack(path: str | os.PathLike[str], folder: str | os.PathLike[str], *, progress: ProgressLike = False) -> Store:
    """Make a folder of a packed store; every array is compared with its digest on the way.

    Args:
        path: the packed store.
        folder: a new folder, or an empty one; it appears whole or not at all.
        progress: show a bar over the members; or a function that does, see :class:`.progress.Progress`.

    Raises:
        ExistsError: if ``folder`` holds anything.
        FormatError: if the file is not what FORMAT.md says.
        IntegrityError: if its bytes are not those that were written.
        StoreError: if ``path`` is no packed store, or the disk refuses.

    >>> import ser_store as ss
    >>> example = ss.open_example()
    >>> ss.unpack(example.path, "again.store").runs() == example.runs()
    True
    """
    packed, folder = Store(Path(path)), Path(folder)
    if not isinstance(packed.place, PackedPlace):
        raise StoreError(f"{path} is a folder already: expected a file that `pack()` wrote")
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise ExistsError(f"{folder} is there and not empty: nothing written is overwritten; name a new folder")
    _refuse_twins(packed.path, packed.runs())
    check_claims(packed.place, packed.members())
    with stated_disk_problems(folder), growing_folder(folder) as growing:
        for run in packed.runs():
            (growing / "runs" / run).mkdir(parents=True)
            for name, content in packed.place.read_texts(run).items():
                write_flushed(growing / "runs" / run / name, content)
        _unpack_members(packed, growing, folder, to_progress(progress))
        for made in (*growing.glob("runs/*"), growing):
            sync_folder(made)
        # The corpus is last, and whole: what a kill leaves behind is no store for anybody.
        unfinished = growing / f"corpus.h5{LEFTOVER_SUFFIX}"
        write_flushed(unfinished, corpus_file.compose_corpus(packed.corpus))
        unfinished.rename(growing / "corpus.h5")
    return Store(folder)


def _unpack_members(packed: Store, growing: Path, folder: Path, progress: Progress) -> None:
    create = partial(create_file, format_name=member_file.FORMAT_NAME, bears=folder)
    with packed.place.opened(packed.header) as open_member:
        names = packed.member_names()
        for name in progress(names, total=len(names), label="unpacking"):
            run, step = packed.resolve(name)
            place = growing / "runs" / run / name_member_file(step)
            with (
                open_member(run, step) as member,
                create(place, version=member_file.choose_version(member.layers)) as (file, _),
            ):
                member.copy_into(file)


def check_claims(place: PackedPlace, members: Sequence[MemberInfo]) -> None:
    """Refuse a pack whose members together claim more than their file holds: links to the same bytes, many times over.

    Raises:
        FormatError: if they do.
    """
    claimed = sum(sum(member.dataset_bytes.values()) for member in members)
    size = place.path.stat().st_size
    if claimed > size:
        raise FormatError(
            f"{place.path}: its members claim {claimed} bytes, more than their file of {size} bytes holds"
        )
