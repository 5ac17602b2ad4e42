"""Reading a store, which is the same whether it is a folder or packed into one file."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ser_store_h5.corpus import Corpus, CorpusHeader
from ser_store_h5.errors import FormatError, StoreError, UnknownNameError, describe_unknown
from ser_store_h5.findings import MISNAMED, FileProblem, Findings
from ser_store_h5.hdf5.seal import check_magic
from ser_store_h5.member import Member, MemberInfo
from ser_store_h5.names import check_run_name, format_member, parse_member
from ser_store_h5.places.folder import FolderPlace
from ser_store_h5.places.packed import PackedPlace
from ser_store_h5.places.place import Place
from ser_store_h5.places.reading import Reader, Rows, check_rows
from ser_store_h5.runs import RunRecord


@dataclass(frozen=True)
class Survey:
    """What can be read of the runs and members of a store, and what is wrong with the rest.

    Attributes:
        records: of every run whose record can be read, by its name.
        members: what each holds, by run and step.
        problems: by run; each names a file and how to go on without it.
    """

    records: Mapping[str, RunRecord]
    members: tuple[MemberInfo, ...]
    problems: tuple[FileProblem, ...]


class ReadableStore:
    """What can be read of a store. Reading never changes a byte.

    Any number of threads and processes may read at once, also while others write. ``corpus``, ``header`` and the names
    in a packed file are read once and kept; a store that others change is opened again to see it.

    Attributes:
        path: the folder, or the packed file; absolute.
        place: where the bytes are; it tells their sizes.
    """

    def __init__(self, path: Path | str) -> None:
        """Open an existing store: a folder, or a file that :func:`.pack.packing.pack` wrote.

        Raises:
            StoreError: if there is none at ``path``.
        """
        self.path = find_place(path)
        self.place = open_place(self.path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    @property
    def is_packed(self) -> bool:
        """Whether the store is one file, which is never written to again."""
        return not isinstance(self.place, FolderPlace)

    @cached_property
    def corpus(self) -> Corpus:
        """All there is to know of the utterances, compared with its digests."""
        return self.place.read_corpus()

    @cached_property
    def header(self) -> CorpusHeader:
        """What is known of the corpus without reading its utterances; a store of millions is opened by it."""
        return self.place.read_header()

    def runs(self) -> list[str]:
        """Names of the runs, ascending."""
        return self.place.runs()

    def has_run(self, run: str) -> bool:
        return self.place.has_run(check_run_name(run))

    def run(self, run: str) -> RunRecord:
        """The record of a run.

        Raises:
            UnknownNameError: naming the nearest runs.
        """
        return self.place.read_run(self._check_run(run))

    def _check_run(self, run: str) -> str:
        if not self.has_run(run):
            raise UnknownNameError(describe_unknown("run", run, self.runs(), way_out="`ls()` lists them"))
        return run

    def curves(self, run: str) -> list[dict[str, Any]]:
        """The run's curves, one dictionary per logging or evaluation step, in the order written."""
        return self.place.read_curves(check_run_name(run))

    def steps(self, run: str) -> list[int]:
        """The steps of a run that have a member, ascending."""
        return self.place.steps(check_run_name(run))

    def member_names(self, run: str | None = None) -> list[str]:
        """Names of all members, by run and step, or of one run's."""
        chosen = self.runs() if run is None else [self._check_run(run)]
        return [format_member(name, step) for name in chosen for step in self.steps(name)]

    def selected_step(self, run: str) -> int:
        """The run's selected step; its last one if none was selected.

        Raises:
            StoreError: if the run has no member yet.
        """
        record = self.run(run)
        steps = self.steps(run)
        if not steps:
            raise StoreError(f"run {run} has no members yet: it is {record.state}; expected at least one cached step")
        if record.selected is not None and record.selected.step in steps:
            return record.selected.step
        return steps[-1]

    def resolve(self, name: str) -> tuple[str, int]:
        """Run and step that a member name stands for; a run alone stands for its selected step.

        Raises:
            UnknownNameError: naming the nearest members.
        """
        run, step = parse_member(name)
        if not self.has_run(run):
            self._require_members()
            known = [*self.runs(), *self.member_names()]
            raise UnknownNameError(describe_unknown("member", name, known, way_out="`ls()` lists them"))
        if step is None:
            return run, self.selected_step(run)
        if not self.place.has_member(run, step):
            raise UnknownNameError(
                describe_unknown("member", name, self.member_names(run), way_out="`ls()` lists them")
            )
        return run, step

    def _require_members(self) -> None:
        if not self.member_names():
            raise StoreError(
                f"{self.path} has no members yet: make some with `finetune()`, `extract()` or `import_predictions()`"
            )

    def read_member(self, name: str) -> Member:
        """One member with all it holds, each array compared with its digest."""
        run, step = self.resolve(name)
        with self.place.opened(self.header) as open_member, open_member(run, step) as file:
            return file.read()

    def describe_member(self, name: str) -> MemberInfo:
        return self._describe([self.resolve(name)])[0]

    def members(self, run: str | None = None) -> list[MemberInfo]:
        """What every member holds, by run and step, without reading its arrays; see also :meth:`survey`."""
        return self._describe([self.resolve(name) for name in self.member_names(run)])

    def survey(self) -> Survey:
        """What every run and member holds as far as it can be read; damage to one does not hide the others.

        Raises:
            StoreError: if the corpus, or the list of the runs, cannot be read.
        """
        records, members, found = dict[str, RunRecord](), list[MemberInfo](), Findings(self.path)
        with self.place.opened(self.header) as open_member:
            for run in self.runs():
                with found.noting(f"runs/{run}"):
                    steps = self.place.steps(run)
                    with found.noting(f"runs/{run}/run.json"):
                        records[run] = self.place.read_run(run)
                    for step in steps:
                        with found.noting(self.place.locate(run, step)), open_member(run, step) as file:
                            members.append(file.describe())
                    for name in self.place.misnamed(run):
                        found.add(name, MISNAMED)
        return Survey(records, tuple(members), tuple(found.problems))

    def _describe(self, members: Sequence[tuple[str, int]]) -> list[MemberInfo]:
        found = []
        with self.place.opened(self.header) as open_member:
            for run, step in members:
                with open_member(run, step) as file:
                    found.append(file.describe())
        return found

    def count_covered(self, members: Sequence[str], rows: Rows) -> list[int]:
        """How many of ``rows`` each member covers, without reading what it says of them."""
        counts = []
        with self.place.opened(self.header) as open_member:
            for run, step in map(self.resolve, members):
                with open_member(run, step) as file:
                    covers = np.zeros(len(self.header), dtype=np.bool_)
                    covers[file.read_rows()] = True
                    counts.append(int(covers[rows].sum()))
        return counts

    def covered(self, member: str) -> Rows:
        """The utterances that a member covers, ascending indices into the corpus ``(m,)`` int32."""
        run, step = self.resolve(member)
        with self.place.opened(self.header) as open_member, open_member(run, step) as file:
            return file.read_rows()

    def predictions(
        self, members: Sequence[str], rows: Rows | None = None, *, on: str | None = None, split: str | None = None
    ) -> NDArray[np.int16]:
        """Predicted classes ``(n_members, n_utterances)`` int16; the lowest class where logits are equal.

        -1 where a member's answer is none of the classes, or it gave none: it is wrong.

        Args:
            members: names; a bare string is refused, since the first axis is that of the members.
            rows: indices into the corpus, in any order.
            on: in place of rows, a part of the split, or ``all``. Default: ``test`` where the split has it, else all.
            split: default: the corpus' default split.

        Raises:
            StoreError: if a member covers not all the rows, or has neither logits nor labels.
        """
        return self._make_reader(members, rows, on, split).read_predictions()

    def logits(
        self, members: Sequence[str], rows: Rows | None = None, *, on: str | None = None, split: str | None = None
    ) -> NDArray[np.float32]:
        """Logits ``(n_members, n_utterances, n_classes)`` float32 in the corpus' class order.

        Args:
            members: as for :meth:`predictions`, and so ``rows``, ``on`` and ``split``.

        Raises:
            StoreError: if a member covers not all the rows, or has no logits.
        """
        return self._make_reader(members, rows, on, split).read_logits()

    def pooled(
        self,
        members: str | Sequence[str],
        rows: Rows | None = None,
        *,
        on: str | None = None,
        split: str | None = None,
        layer: int | None = None,
        dtype: DTypeLike | None = None,
    ) -> NDArray[Any]:
        """Pooled representations of one member ``(n_utterances, hidden)``, or of several.

        Args:
            members: one name; or a sequence of names, which gives ``(n_members, n_utterances, hidden)``.
            rows: as for :meth:`predictions`, and so ``on`` and ``split``.
            layer: number of the backbone's layer, of members that were extracted with several. Default: the last one.
            dtype: ``float32`` or ``float64`` to widen; default: float16 or float32 as stored, the wider of the two
                where members differ.

        Raises:
            StoreError: if a member covers not all the rows or has no pooled representations of the layer, if members of
                different hidden sizes are to be stacked, or if ``dtype`` is narrower than what is stored.
        """
        names = [members] if isinstance(members, str) else members
        stacked = self._make_reader(names, rows, on, split).read_pooled(dtype, layer)
        return stacked[0] if isinstance(members, str) else stacked

    def _make_reader(self, members: Sequence[str], rows: Rows | None, on: str | None, split: str | None) -> Reader:
        if isinstance(members, str):
            raise StoreError(
                f"members is the text {members[:120]!r}: expected a sequence of names, as [{members[:120]!r}]"
            )
        if rows is not None and not (on is None and split is None):
            raise StoreError("rows and a part of a split were both named: expected rows, or on and split, not both")
        chosen = self.header.rows(on, split=split) if rows is None else check_rows(rows, len(self.header))
        resolved = [self.resolve(name) for name in members]
        return Reader(self.place, self.header, resolved, chosen, lambda missing: self.corpus.ids[missing].tolist())


def find_place(path: Path | str) -> Path:
    """Where ``path`` leads from here and now, whatever becomes the working directory; ``~`` is the home folder."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - a link to a store has its own name


def open_place(path: Path) -> Place:
    """The store at ``path``.

    Raises:
        StoreError: if there is none, naming the way to one.
    """
    if (path / "corpus.h5").is_file():
        return FolderPlace(path)
    found = "there is no corpus.h5 in it" if path.is_dir() else "there is no such folder"
    if path.is_file():
        try:
            check_magic(path)
        except FormatError:
            found = "it is a file that `pack()` did not write"
        else:
            return PackedPlace(path)
    raise StoreError(
        f"no store at {path}: {found}; make one with `init()` or `import_predictions()`, or name another `store`"
    )
