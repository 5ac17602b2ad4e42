"""A store: a folder with one corpus and what its runs said about it."""

import shutil
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5 import corpus_file, runs
from ser_store_h5.corpus import Corpus
from ser_store_h5.errors import ExistsError, StoreError, UnknownNameError, describe_unknown
from ser_store_h5.member import Member, MemberFile, MemberInfo, open_member, write_member
from ser_store_h5.names import check_run_name, format_member, member_file, parse_member, parse_member_file
from ser_store_h5.runs import RunRecord

Rows = NDArray[np.int32]


class Store:
    """Reads and writes one store. Reading never changes a byte; every write is whole or not at all."""

    def __init__(self, path: Path | str) -> None:
        """Open an existing store.

        Raises:
            StoreError: if there is none at ``path``.
        """
        self.path = Path(path)
        if not (self.path / "corpus.h5").is_file():
            found = "there is no such folder" if not self.path.exists() else "there is no corpus.h5 in it"
            raise StoreError(
                f"no store at {self.path}: {found}; make one with `serstore init` or `serstore import`, "
                "or name one with --store PATH"
            )

    @classmethod
    def create(cls, path: Path | str, corpus: Corpus) -> "Store":
        """Make a store for ``corpus`` in a new or empty folder.

        Raises:
            ExistsError: if a store is there already.
            StoreError: if the folder holds anything else, or cannot be written.
        """
        path = Path(path)
        if (path / "corpus.h5").exists():
            raise ExistsError(f"{path} is a store already: choose another --store, or remove it first")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise StoreError(f"{path} is there and not empty: expected a new folder, or an empty one, for the store")
        corpus_file.write_corpus(path / "corpus.h5", corpus)
        return cls(path)

    @cached_property
    def corpus(self) -> Corpus:
        return corpus_file.read_corpus(self.path / "corpus.h5")

    def update_corpus(self, corpus: Corpus) -> None:
        """Replace splits, columns and audio paths. Ids, labels and classes must stay, since members rest on them.

        Raises:
            StoreError: if it is another corpus.
        """
        if corpus.digest != self.corpus.digest:
            raise StoreError(
                f"{self.path} holds another corpus ({self.corpus.name}, {len(self.corpus)} utterances) than the one "
                f"given ({corpus.name}, {len(corpus)} utterances): choose another --store"
            )
        corpus_file.write_corpus(self.path / "corpus.h5", corpus, replace=True)
        self.__dict__["corpus"] = corpus

    # -- runs

    def run_folder(self, run: str) -> Path:
        return self.path / "runs" / check_run_name(run)

    def runs(self) -> list[str]:
        """Names of the runs, ascending."""
        return sorted(found.parent.name for found in self.path.glob("runs/*/run.json"))

    def has_run(self, run: str) -> bool:
        return (self.run_folder(run) / "run.json").is_file()

    def run(self, run: str) -> RunRecord:
        """The record of a run.

        Raises:
            UnknownNameError: naming the nearest runs.
        """
        if not self.has_run(run):
            raise UnknownNameError(describe_unknown("run", run, self.runs(), way_out="`serstore ls` lists them"))
        return runs.read_run(self.run_folder(run))

    def add_run(self, record: RunRecord) -> None:
        """Begin a run.

        Raises:
            ExistsError: if a run of this name is there.
        """
        try:
            runs.write_run(self.run_folder(record.run), record, replace=False)
        except ExistsError:
            raise ExistsError(
                f"run {record.run} is in {self.path} already: name this one with --run NAME, or remove the old one "
                f"with `serstore rm {record.run}`"
            ) from None

    def update_run(self, record: RunRecord) -> None:
        runs.write_run(self.run_folder(record.run), record)

    def append_curve(self, run: str, **point: Any) -> None:
        """Add one line to the run's curves."""
        runs.append_curve(self.run_folder(run), point)

    def curves(self, run: str) -> list[dict[str, Any]]:
        """The run's curves, one dictionary per logging or evaluation step, in the order written."""
        return runs.read_curves(self.run_folder(run))

    # -- members

    def steps(self, run: str) -> list[int]:
        """The steps of a run that have a member, ascending."""
        found = (parse_member_file(file.name) for file in self.run_folder(run).glob("step-*.h5"))
        return sorted(step for step in found if step is not None)

    def member_names(self, run: str | None = None) -> list[str]:
        """Names of all members, by run and step, or of one run's."""
        chosen = self.runs() if run is None else [self.run(run).run]
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
            raise UnknownNameError(describe_unknown("member", name, known, way_out="`serstore ls` lists them"))
        if step is None:
            return run, self.selected_step(run)
        if not self.member_path(run, step).is_file():
            raise UnknownNameError(
                describe_unknown("member", name, self.member_names(run), way_out="`serstore ls` lists them")
            )
        return run, step

    def _require_members(self) -> None:
        if not self.member_names():
            raise StoreError(
                f"{self.path} has no members yet: make some with `serstore finetune`, `serstore extract` or "
                "`serstore import`"
            )

    def member_path(self, run: str, step: int) -> Path:
        return self.run_folder(run) / member_file(step)

    def write_member(self, member: Member, *, replace: bool = False) -> None:
        """Add a member to its run.

        Raises:
            ExistsError: if it is there and ``replace`` is not set.
            StoreError: if it contradicts itself or the corpus.
        """
        self.run(member.run)
        write_member(self.member_path(member.run, member.step), member, self.corpus, replace=replace)

    def read_member(self, name: str) -> Member:
        """One member with all it holds, each array compared with its digest."""
        run, step = self.resolve(name)
        with open_member(self.member_path(run, step), self.corpus) as file:
            return file.read()

    def describe_member(self, name: str) -> MemberInfo:
        run, step = self.resolve(name)
        with open_member(self.member_path(run, step), self.corpus) as file:
            return file.describe()

    def members(self, run: str | None = None) -> list[MemberInfo]:
        """What every member holds, by run and step, without reading its arrays."""
        return [self.describe_member(name) for name in self.member_names(run)]

    def remove(self, name: str) -> list[str]:
        """Remove a member (``run@step``), or a run with all it has; returns the names of the removed members."""
        run, step = parse_member(name)
        if step is not None:
            run, step = self.resolve(name)
            self.member_path(run, step).unlink()
            return [name]
        names = self.member_names(run)
        # The record goes first: without it no reader sees the run, however far the rest has got.
        (self.run_folder(run) / "run.json").unlink()
        shutil.rmtree(self.run_folder(run))
        return names

    # -- arrays, aligned by utterance

    def predictions(self, names: Sequence[str], rows: Rows) -> NDArray[np.int16]:
        """Predicted classes ``(n_members, n_rows)`` int16; the lowest class where logits are equal.

        Raises:
            StoreError: if a member covers not all the rows, or has neither logits nor labels.
        """
        predicted = np.empty((len(names), len(rows)), dtype=np.int16)
        for place, (name, file, own) in enumerate(self._iter_members(names)):
            if "logits" in file.names:
                said = file.read_logits(len(own)).argmax(axis=1).astype(np.int16)
            elif "predicted" in file.names:
                said = file.read_predicted(len(own))
            else:
                raise StoreError(
                    f"{name} has pooled representations only: expected logits or labels; `serstore head --from {name}` "
                    "fits a classifier on them"
                )
            predicted[place] = said[self._places(name, own, rows)]
        return predicted

    def logits(self, names: Sequence[str], rows: Rows) -> NDArray[np.float32]:
        """Logits ``(n_members, n_rows, n_classes)`` float32 in the corpus' class order.

        Raises:
            StoreError: if a member covers not all the rows, or has no logits.
        """
        logits = np.empty((len(names), len(rows), len(self.corpus.classes)), dtype=np.float32)
        for place, (name, file, own) in enumerate(self._iter_members(names)):
            if "logits" not in file.names:
                held = "labels" if "predicted" in file.names else "pooled representations"
                raise StoreError(f"{name} has {held} only: expected logits, which this rule needs")
            logits[place] = file.read_logits(len(own))[self._places(name, own, rows)]
        return logits

    def pooled(self, name: str, rows: Rows) -> NDArray[Any]:
        """Pooled representations ``(n_rows, hidden)`` of one member, float16 or float32 as stored.

        Raises:
            StoreError: if the member covers not all the rows, or has no pooled representations.
        """
        for member, file, own in self._iter_members([name]):
            if "pooled" not in file.names:
                raise StoreError(f"{member} has no pooled representations: expected a member of finetune or extract")
            places = self._places(member, own, rows)
            order = np.argsort(places)
            ascending = file.read_pooled(len(own), places[order])
            return np.asarray(ascending[np.argsort(order)])
        raise StoreError("no member named")

    def _iter_members(self, names: Sequence[str]) -> Iterator[tuple[str, MemberFile, Rows]]:
        for name in names:
            run, step = self.resolve(name)
            with open_member(self.member_path(run, step), self.corpus) as file:
                yield format_member(run, step), file, file.read_rows()

    def _places(self, name: str, own: Rows, rows: Rows) -> NDArray[np.intp]:
        """Where ``rows`` stand among the member's own rows."""
        places = np.minimum(np.searchsorted(own, rows), len(own) - 1)
        missing = rows[own[places] != rows]
        if len(missing):
            first = ", ".join(self.corpus.ids[missing[:3]].tolist()) + (", …" if len(missing) > 3 else "")
            raise StoreError(
                f"{name} says nothing about {len(missing)} of the {len(rows)} utterances asked for ({first}): expected "
                "all; choose another part with --on, leave the member out, or run `serstore extract`"
            )
        return places
