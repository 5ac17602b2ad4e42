"""A member that grows on the disk: blocks of its rows, each a file of its own, until it is composed of them.

However large it is, no more than a block and what is composed at once are in memory, and a kill costs a block.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.disk.atomic import LEFTOVER_SUFFIX, held_folder, remove_folder, write_atomically
from ser_store_h5.errors import SerstoreError, StoreError
from ser_store_h5.hdf5.arrays import write_array, write_blocks
from ser_store_h5.hdf5.files import open_file
from ser_store_h5.member import Member
from ser_store_h5.member_file import (
    FORMAT_NAME,
    FORMAT_VERSION,
    MemberFile,
    choose_version,
    open_member,
    write_head,
    write_member,
)
from ser_store_h5.names import format_member
from ser_store_h5.store import Store

if TYPE_CHECKING:
    import h5py

# Of an array, what is gathered from the blocks before it is written: 131,072 utterances of 1,024 numbers in float16.
COMPOSED_BYTES = 1 << 28
_HALF, _SINGLE = np.dtype(np.float16), np.dtype(np.float32)


@dataclass(frozen=True)
class Source:
    """A file with some rows of a member.

    Attributes:
        open: opens it.
        rows: ``(m,)`` int32, which they are in the member's corpus.
        places: ``(m,)``, where they stand in the file. Default: all that it has, in this order.
    """

    open: Callable[[], AbstractContextManager[MemberFile]]
    rows: NDArray[np.int32]
    places: NDArray[np.intp] | None = None


class GrowingMember:
    """The blocks of one member, in a folder beside its run that no reader looks at, and that `gc` removes.

    Args:
        store: in whose folder the member will be.
    """

    def __init__(self, store: Store, run: str, step: int) -> None:
        self._store, self._run, self._step, self._corpus = store, run, step, store.header
        self.folder = store.path / "runs" / f".{format_member(run, step)}.blocks{LEFTOVER_SUFFIX}"
        self._sources: dict[Path, Source] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes, and sweeps, from the blocks while the ``with`` block lasts.

        Raises:
            StoreError: if another process holds them, or the store is packed.
        """
        self._store.member_path(self._run, self._step)  # which a packed store has not
        with held_folder(self.folder) as is_ours:
            if not is_ours:
                raise StoreError(
                    f"{format_member(self._run, self._step)} is being written by another process: expected it to "
                    "finish; wait for it, or name another `run`"
                )
            yield

    def take_up(self, rows: NDArray[np.int32]) -> Iterator[tuple[Mapping[str, Any], NDArray[np.int32]]]:
        """Read every block that was written before; yields provenance and rows of each that holds nothing but ``rows``.

        What was damaged, or is there twice, is removed, to be computed anew.
        """
        wanted = rows
        for path in sorted(self.folder.glob("*.h5")):
            if path in self._sources:
                continue
            try:
                with self._open_block(path) as block:
                    block.verify()
                    own, provenance = block.read_rows(), block.read_provenance()
            except SerstoreError:
                own, provenance = np.empty(0, dtype=np.int32), {}
            if not len(own) or not np.isin(own, wanted).all():
                path.unlink()
                continue
            wanted = np.setdiff1d(wanted, own)
            self._sources[path] = self._describe_block(path, own)
            yield provenance, own

    def add(self, block: Member) -> None:
        """Write a block to the disk: of rows that no other one has, their arrays in float32."""
        path = self.folder / f"rows-{block.rows[0]:010}.h5"
        write_member(path, block, self._corpus)
        self._sources[path] = self._describe_block(path, block.rows)

    def complete(self, rows: NDArray[np.int32]) -> None:
        """Take up the blocks that other processes have written, which together with one's own are ``rows``.

        Raises:
            StoreError: if any row is missing.
        """
        for source in self._sources.values():
            rows = np.setdiff1d(rows, source.rows)
        for _, own in self.take_up(rows):
            rows = np.setdiff1d(rows, own)
        if len(rows):
            raise StoreError(
                f"{format_member(self._run, self._step)}: {len(rows)} of its utterances are in no block of "
                f"{self.folder}: expected all; run the command again, which computes them"
            )

    def _describe_block(self, path: Path, rows: NDArray[np.int32]) -> Source:
        return Source(lambda: self._open_block(path), rows)

    @contextmanager
    def _open_block(self, path: Path) -> Iterator[MemberFile]:
        with open_file(path, format_name=FORMAT_NAME, version=FORMAT_VERSION) as group:
            yield MemberFile(group, self._corpus, self._run, self._step)

    def compose(
        self,
        provenance: Mapping[str, Any],
        *,
        float16_limit: float,
        kept: NDArray[np.int32],
        answer: Callable[[NDArray[np.int32], NDArray[np.float32]], NDArray[np.float32]] | None = None,
    ) -> None:
        """Write the member of its blocks, and of what it holds already, whole or not at all; then remove the blocks.

        Args:
            float16_limit: representations of which no number is larger are written in half precision.
            kept: rows of the file that is there, which is replaced; none where there is none.
            answer: gives the logits ``(m, c)`` of all rows ``(m,)`` and their ``pooled`` ``(m, d)``, where the blocks
                have none since an utterance is answered among others. All are in memory then.

        Raises:
            ExistsError: if another process has written the member meanwhile.
        """
        path = self._store.member_path(self._run, self._step)
        sources = list(self._sources.values())
        if len(kept):
            sources.append(Source(lambda: open_member(path, self._corpus), kept))
        given = {}
        gathered = Gathered(sources, float16_limit, without=frozenset() if answer is None else frozenset({"logits"}))
        if answer is not None:
            (_, width), _ = gathered.measure("pooled")
            pooled = np.concatenate(list(gathered.iter_blocks("pooled", width, _SINGLE)))
            given["logits"] = answer(gathered.rows, pooled)
        compose_member(self._store, self._run, self._step, gathered, provenance, given=given, replace=bool(len(kept)))
        self.remove()

    def remove(self) -> None:
        """Remove the blocks."""
        if self.folder.exists():
            remove_folder(self.folder)


def compose_member(
    store: Store,
    run: str,
    step: int,
    gathered: "Gathered",
    provenance: Mapping[str, Any],
    *,
    given: Mapping[str, NDArray[Any]] | None = None,
    replace: bool = False,
) -> None:
    """Write a member of what several files hold of it, a block after the other, whole or not at all.

    Args:
        store: that gains it.
        given: arrays of its rows, in their order, that take the place of those in the files.
        replace: whether it is there.

    Raises:
        ExistsError: if it is there, and not to be replaced.
    """
    path, corpus, given = store.member_path(run, step), store.header, given or {}

    def fill(file: "h5py.File", check: Callable[[], None]) -> None:
        write_head(file, run, step, corpus.digest, provenance, layers=gathered.layers)
        for name, array in {"rows": gathered.rows, **given}.items():
            write_array(file, name, array)
        for name in gathered.names:
            if name not in given:
                shape, dtype = gathered.measure(name)
                blocks = _checked(gathered.iter_blocks(name, shape[1], dtype), check)
                write_blocks(file, name, blocks, shape=shape, dtype=dtype)

    def write(temporary: Path) -> None:
        from ser_store_h5.pack.streaming import create_file  # with h5py it takes longer to import than all else

        version = choose_version(gathered.layers)
        with create_file(temporary, bears=path, format_name=FORMAT_NAME, version=version) as (file, check):
            fill(file, check)

    write_atomically(path, write, replace=replace, below=path.parent)


def _checked(blocks: Iterable[NDArray[Any]], check: Callable[[], None]) -> Iterator[NDArray[Any]]:
    for block in blocks:
        check()
        yield block


class Gathered:
    """The arrays of several files of one member, their rows ascending, some MiB at a time.

    Args:
        sources: the files.
        float16_limit: what is stored in single precision is narrowed where no number is larger.
        without: arrays that are passed over.

    Raises:
        StoreError: if the files do not hold the same arrays.
    """

    def __init__(
        self, sources: Sequence[Source], float16_limit: float, *, without: frozenset[str] = frozenset()
    ) -> None:
        self._sources, self._limit = sources, float16_limit
        rows = np.concatenate([source.rows for source in sources])
        order = np.argsort(rows)
        self.rows = rows[order]
        whole = (np.arange(len(source.rows)) if source.places is None else source.places for source in sources)
        self._places = np.concatenate(list(whole))[order]
        self._source_of = np.repeat(np.arange(len(sources)), [len(source.rows) for source in sources])[order]
        held, self._lengths = set(), list[int]()
        for source in sources:
            with source.open() as file:
                arrays = file.find_arrays()
                held.add((tuple(name for name in arrays if name not in {"rows", *without}), file.layers))
                self._lengths.append(arrays["rows"].shape[0])
        if len(held) > 1:
            raise StoreError("the member holds other arrays than an extraction gives; remove it with `rm()`")
        [(self.names, self.layers)] = held

    def measure(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return shape and dtype of an array: the narrowest that holds it."""
        widths, narrow = set(), name != "logits"
        for source in self._sources:
            with source.open() as file:
                stored = file.find_arrays()[name]
                widths.add(stored.shape[1])
                if narrow and stored.dtype == _SINGLE:
                    narrow = all(float(np.abs(block).max()) < self._limit for block in stored.iter_blocks())
        if len(widths) > 1:
            raise StoreError(f"{name} has rows of {min(widths)} and {max(widths)} numbers; remove it with `rm()`")
        return (len(self.rows), *widths), _HALF if narrow else _SINGLE

    def iter_blocks(self, name: str, width: int, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
        """Yield the array, its rows ascending, so many at a time that they take ``COMPOSED_BYTES`` at most."""
        rows = max(1, COMPOSED_BYTES // (width * dtype.itemsize))
        for start in range(0, len(self.rows), rows):
            own, places = self._source_of[start : start + rows], self._places[start : start + rows]
            block = np.empty((len(own), width), dtype=dtype)
            for number in np.unique(own).tolist():
                among = own == number
                with self._sources[number].open() as file:
                    block[among] = file.read_array(name, self._lengths[number], places[among])
            yield block
