"""A store: a folder with one corpus and what its runs said about it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5 import corpus_file, runs
from ser_store_h5.atomic import is_leftover, remove_folder, stated_disk_problems
from ser_store_h5.corpus import Corpus
from ser_store_h5.errors import ExistsError, StoreError, UnknownNameError, describe_unknown
from ser_store_h5.member import Member, MemberFile, MemberInfo, find_places, open_member, write_member
from ser_store_h5.names import (
    check_run_name,
    format_member,
    is_run_name,
    member_file,
    parse_member,
    parse_member_file,
)
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
        if path.exists() and (not path.is_dir() or not all(is_leftover(found) for found in path.iterdir())):
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

    def run_folder(self, run: str) -> Path:
        return self.path / "runs" / check_run_name(run)

    def runs(self) -> list[str]:
        """Names of the runs, ascending."""
        found = (record.parent.name for record in self.path.glob("runs/*/run.json"))
        return sorted(run for run in found if is_run_name(run))

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
        self.refuse_run(record.run)
        runs.write_run(self.run_folder(record.run), record, replace=False)

    def refuse_run(self, run: str) -> None:
        """Say that a run of this name is there, before anything is spent on another.

        Raises:
            ExistsError: if it is.
        """
        if self.has_run(run):
            raise ExistsError(
                f"run {run} is in {self.path} already: name this one with --run NAME, or remove the old one with "
                f"`serstore rm {run}`"
            )

    def update_run(self, record: RunRecord) -> None:
        runs.write_run(self.run_folder(record.run), record)

    def append_curve(self, run: str, **point: Any) -> None:
        """Add one line to the run's curves."""
        runs.append_curve(self.run_folder(run), point)

    def curves(self, run: str) -> list[dict[str, Any]]:
        """The run's curves, one dictionary per logging or evaluation step, in the order written."""
        return runs.read_curves(self.run_folder(run))

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
        with self._open(name) as (_, file):
            return file.read()

    def describe_member(self, name: str) -> MemberInfo:
        with self._open(name) as (_, file):
            return file.describe()

    def members(self, run: str | None = None) -> list[MemberInfo]:
        """What every member holds, by run and step, without reading its arrays."""
        return [self.describe_member(name) for name in self.member_names(run)]

    def remove(self, name: str) -> list[str]:
        """Remove a member (``run@step``), or a run with all it has; returns the names of the removed members."""
        run, step = parse_member(name)
        if step is not None:
            path = self.member_path(*self.resolve(name))
            with stated_disk_problems(path):
                path.unlink()
            return [format_member(run, step)]
        names = self.member_names(run)
        remove_folder(self.run_folder(run))
        return names

    def predictions(self, names: Sequence[str], rows: Rows) -> NDArray[np.int16]:
        """Predicted classes ``(n_members, n_rows)`` int16; the lowest class where logits are equal.

        Raises:
            StoreError: if a member covers not all the rows, or has neither logits nor labels.
        """
        predicted = np.empty((len(names), len(rows)), dtype=np.int16)
        for place, named in enumerate(names):
            with self._open(named) as (name, file):
                own = file.read_rows()
                if "logits" in file.names:
                    said = file.read_logits(len(own)).argmax(axis=1).astype(np.int16)
                elif "predicted" in file.names:
                    said = file.read_predicted(len(own))
                else:
                    raise StoreError(
                        f"{name} has pooled representations only: expected logits or labels; `serstore head --from "
                        f"{name}` fits a classifier on them"
                    )
                predicted[place] = said[find_places(name, own, rows, self.corpus)]
        return predicted

    def logits(self, names: Sequence[str], rows: Rows) -> NDArray[np.float32]:
        """Logits ``(n_members, n_rows, n_classes)`` float32 in the corpus' class order.

        Raises:
            StoreError: if a member covers not all the rows, or has no logits.
        """
        logits = np.empty((len(names), len(rows), len(self.corpus.classes)), dtype=np.float32)
        for place, named in enumerate(names):
            with self._open(named) as (name, file):
                if "logits" not in file.names:
                    held = "labels" if "predicted" in file.names else "pooled representations"
                    raise StoreError(f"{name} has {held} only: expected logits, which this rule needs")
                own = file.read_rows()
                logits[place] = file.read_logits(len(own))[find_places(name, own, rows, self.corpus)]
        return logits

    def pooled(self, name: str, rows: Rows) -> NDArray[Any]:
        """Pooled representations ``(n_rows, hidden)`` of one member, float16 or float32 as stored.

        Raises:
            StoreError: if the member covers not all the rows, or has no pooled representations.
        """
        with self._open(name) as (member, file):
            if "pooled" not in file.names:
                raise StoreError(f"{member} has no pooled representations: expected a member of finetune or extract")
            own = file.read_rows()
            ascending, back = np.unique(find_places(member, own, rows, self.corpus), return_inverse=True)
            return np.asarray(file.read_pooled(len(own), ascending)[back])

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[str, MemberFile]]:
        run, step = self.resolve(name)
        with open_member(self.member_path(run, step), self.corpus) as file:
            yield format_member(run, step), file
