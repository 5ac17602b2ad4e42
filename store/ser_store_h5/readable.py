"""Reading a store, which is the same whether it is a folder or packed into one file."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ser_store_h5.corpus import Corpus, CorpusHeader
from ser_store_h5.disk.reading import find_place
from ser_store_h5.errors import FormatError, SerstoreError, StoreError, UnknownNameError, describe_unknown
from ser_store_h5.findings import MISNAMED, Findings, Survey
from ser_store_h5.hdf5.seal import check_magic
from ser_store_h5.member import Member, MemberInfo
from ser_store_h5.member_file import MemberFile
from ser_store_h5.names import check_run_name, format_member, is_on_hub, parse_member
from ser_store_h5.places.folder import FolderPlace
from ser_store_h5.places.packed import PackedPlace
from ser_store_h5.places.published import fetch_store
from ser_store_h5.places.reading import AlignedMember, Rows, check_rows, stack_pooled
from ser_store_h5.runs import RunRecord

T = TypeVar("T")
Place = FolderPlace | PackedPlace


class ReadableStore:
    """The reading half of :class:`.store.Store`; it never changes a byte.

    Any number of threads and processes may read at once, also while others write. ``corpus``, ``header`` and the names
    in a packed file are read once and kept; a store that others change is opened again to see it.

    Attributes:
        path: the folder, or the packed file; absolute.
        place: where the bytes are; it tells their sizes.
    """

    def __init__(self, path: Path | str) -> None:
        """Open an existing store: a folder, or a file that :func:`.pack.packing.pack` wrote, or ``hub:owner/name``.

        Raises:
            StoreError: if there is none at ``path``.
        """
        self.path = fetch_store(path) if is_on_hub(path) else find_place(path)
        self.place = open_place(self.path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the corpus, and the steps of each run; of what is damaged only the path."""
        try:
            about = f"{self.path.name}: {self.header.name}, {len(self.header)} utterances"
            steps = {run: ", ".join(map(str, self.steps(run))) for run in self.runs()}
            lines = [about, f"classes: {', '.join(self.header.classes)}"]
        except SerstoreError as problem:
            lines, steps = [repr(self), str(problem)], {}
        rows = "".join(f"<tr><td>{escape(run)}</td><td>{one}</td></tr>" for run, one in steps.items())
        table = (
            f"<table><thead><tr><th>run</th><th>steps</th></tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        )
        count = f"<details><summary>{len(steps)} runs</summary>{table}</details>" if len(steps) > 12 else table
        return f"<pre>{escape(chr(10).join(lines))}</pre>{count}"

    @property
    def is_packed(self) -> bool:
        """Whether the store is one file, which is never written to again."""
        return not isinstance(self.place, FolderPlace)

    @cached_property
    def corpus(self) -> Corpus:
        """All utterances, compared with their digests."""
        return self.place.read_corpus()

    @cached_property
    def header(self) -> CorpusHeader:
        """The corpus without its utterances: a store of millions opens at once."""
        return self.place.read_header()

    def runs(self) -> list[str]:
        """Return the names of the runs, ascending."""
        return self.place.runs()

    def has_run(self, run: str) -> bool:
        """Return whether there is a run of this name."""
        return self.place.has_run(check_run_name(run))

    def run(self, run: str) -> RunRecord:
        """Return the record of a run: kind, backbone, recipe, state, selected step.

        Raises:
            UnknownNameError: naming the nearest runs.
        """
        return self.place.read_run(self._check_run(run))

    def _check_run(self, run: str) -> str:
        if not self.has_run(run):
            raise UnknownNameError(describe_unknown("run", run, self.runs(), way_out="`ls()` lists them"))
        return run

    def curves(self, run: str) -> list[dict[str, Any]]:
        """Return a run's curves: a dictionary for each logging or evaluation step, in the order written."""
        return self.place.read_curves(check_run_name(run))

    def steps(self, run: str) -> list[int]:
        """Return the steps of a run that have a member, ascending."""
        return self.place.steps(check_run_name(run))

    def member_names(self, run: str | None = None) -> list[str]:
        """Return the names of all members, or of one run's, by run and step."""
        chosen = self.runs() if run is None else [self._check_run(run)]
        return [format_member(name, step) for name in chosen for step in self.steps(name)]

    def selected_step(self, run: str) -> int:
        """Return the run's selected step, or its last one where none was selected.

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
        """Return the run and step that a member name stands for; a run alone stands for its selected step.

        Raises:
            UnknownNameError: naming the nearest members.
        """
        run, step = parse_member(name)
        if not self.has_run(run):
            if not self.member_names():
                raise StoreError(
                    f"{self.path} has no members yet: make some with `finetune()`, `extract()` or "
                    "`import_predictions()`"
                )
            known = self.runs() if step is None else self.member_names()
            raise UnknownNameError(describe_unknown("member", name, known, way_out="`ls()` lists them"))
        if step is None:
            return run, self.selected_step(run)
        if not self.place.has_member(run, step):
            raise UnknownNameError(
                describe_unknown("member", name, self.member_names(run), way_out="`ls()` lists them")
            )
        return run, step

    def _iter_read(self, names: Sequence[str], read: Callable[[MemberFile], T]) -> Iterator[T]:
        members = [self.resolve(name) for name in names]
        with self.place.opened(self.header) as open_member:
            for run, step in members:
                with open_member(run, step) as file:
                    found = read(file)
                yield found

    def read_member(self, name: str) -> Member:
        """Read one member with all it holds, each array compared with its digest."""
        return next(self._iter_read([name], MemberFile.read))

    def describe_member(self, name: str) -> MemberInfo:
        """Return what a member holds, without reading its arrays."""
        return next(self._iter_read([name], MemberFile.describe))

    def members(self, run: str | None = None) -> list[MemberInfo]:
        """Return what every member holds, by run and step, without reading its arrays; see also :meth:`survey`."""
        return list(self._iter_read(self.member_names(run), MemberFile.describe))

    def survey(self) -> Survey:
        """Describe every run and member that can be read, and name what is wrong with the others.

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

    def count_covered(self, members: Sequence[str], rows: Rows) -> list[int]:
        """Count how many of ``rows`` each member covers, without reading what it says of them."""

        def count(file: MemberFile) -> int:
            covers = np.zeros(len(self.header), dtype=np.bool_)
            covers[file.read_rows()] = True
            return int(covers[rows].sum())

        return list(self._iter_read(members, count))

    def covered(self, member: str) -> Rows:
        """Return the utterances that a member covers, ascending indices into the corpus ``(m,)`` int32."""
        return next(self._iter_read([member], MemberFile.read_rows))

    def predictions(
        self, members: Sequence[str], rows: Rows | None = None, *, on: str | None = None, split: str | None = None
    ) -> NDArray[np.int16]:
        """Read predicted classes ``(n_members, n_utterances)`` int16; the lowest class where logits are equal.

        -1 where a member's answer is none of the classes, or it gave none: it is wrong.

        Args:
            members: names; a bare string is refused, since the first axis is that of the members.
            rows: indices into the corpus, in any order.
            on: in place of rows, a part of the split, or ``all``. Default: ``test`` where the split has it, else all.
            split: default: the corpus' default split.

        Raises:
            StoreError: if a member covers not all the rows, or has neither logits nor labels.
        """
        chosen = self._choose_rows(members, rows, on, split)
        predicted = np.empty((len(members), len(chosen)), dtype=np.int16)
        read = self._iter_read(members, lambda file: self._align(file, chosen).read_predictions())
        for place, own in enumerate(read):
            predicted[place] = own
        return predicted

    def logits(
        self, members: Sequence[str], rows: Rows | None = None, *, on: str | None = None, split: str | None = None
    ) -> NDArray[np.float32]:
        """Read logits ``(n_members, n_utterances, n_classes)`` float32 in the corpus' class order.

        Args:
            members: as for :meth:`predictions`, and so ``rows``, ``on`` and ``split``.

        Raises:
            StoreError: if a member covers not all the rows, or has no logits.
        """
        chosen = self._choose_rows(members, rows, on, split)
        logits = np.empty((len(members), len(chosen), len(self.header.classes)), dtype=np.float32)
        read = self._iter_read(members, lambda file: self._align(file, chosen).read_logits())
        for place, own in enumerate(read):
            logits[place] = own
        return logits

    def answers(self, members: Sequence[str], rows: Rows) -> list[NDArray[Any]]:
        """Read what each member says, whichever it holds, in one look at its file.

        That is its logits ``(n_utterances, n_classes)`` float32, or its predicted classes ``(n_utterances,)`` int16.

        Raises:
            StoreError: if a member covers not all the rows, or has neither.

        >>> import ser_store as ss
        >>> store = ss.open_example()
        >>> store.answers(["xlsr53"], store.corpus.rows("test"))[0].shape
        (288,)
        """
        chosen = self._choose_rows(members, rows, None, None)
        return list(self._iter_read(members, lambda file: self._align(file, chosen).read_answers()))

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
        """Read pooled representations of one member ``(n_utterances, hidden)``, or of several.

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
        chosen = self._choose_rows(names, rows, on, split)
        pooled = self._iter_read(names, lambda file: self._align(file, chosen).read_pooled(layer))
        stacked = stack_pooled(pooled, len(names), dtype)
        return stacked[0] if isinstance(members, str) else stacked

    def _choose_rows(self, members: Sequence[str], rows: Rows | None, on: str | None, split: str | None) -> Rows:
        if isinstance(members, str):
            raise StoreError(
                f"members is the text {members[:120]!r}: expected a sequence of names, as [{members[:120]!r}]"
            )
        if rows is not None and not (on is None and split is None):
            raise StoreError("rows and a part of a split were both named: expected rows, or on and split, not both")
        return self.header.rows(on, split=split) if rows is None else check_rows(rows, len(self.header))

    def _align(self, file: MemberFile, rows: Rows) -> AlignedMember:
        return AlignedMember(file, rows, lambda missing: self.corpus.ids[missing])


def open_place(path: Path) -> Place:
    """Open what a store at ``path`` reads from.

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
