"""Predictions and logits as a table holds them: wide or long, its rows in any order."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.tables import load_table
from ser_store.corpora.texts import describe_spellings, fold_text, match_names, normalise_text, unwrap_id
from ser_store.errors import CorpusError, describe_unknown
from ser_store.interchange.cells import Cells
from ser_store_h5.corpus import Corpus
from ser_store_h5.names import PLUS, format_member, parse_member

LONG = ("utterance", "run", "step")
PREDICTED = "predicted"


@dataclass(frozen=True)
class MemberRows:
    """Where a member is in a table: the ``rows`` that are its own, and the column of its labels, if it has one."""

    run: str
    step: int
    rows: NDArray[np.intp]
    header: str | None

    @property
    def name(self) -> str:
        """The member's name, ``run@step``."""
        return format_member(self.run, self.step)


@dataclass(frozen=True)
class PredictionTable:
    """A prediction file before it is known which of its columns are classes.

    Attributes:
        cells: its columns.
        ids: the utterance of every row, ``(rows,)``; an id that the corpus has in another form, in that form.
        labels: the true label that each utterance is given, as it is written; None where the file has none.
        members: each once.
        is_long: whether it has a row for each utterance of each member.
        further: the columns that are not yet spoken for.
        notes: one line for each thing that was read otherwise than it is written.
    """

    cells: Cells
    ids: NDArray[np.str_]
    labels: dict[str, str] | None
    members: tuple[MemberRows, ...]
    is_long: bool
    further: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file."""
        return self.cells.path

    @property
    def has_predicted(self) -> bool:
        """Whether the members of a long table are known by their labels."""
        return any(member.header is not None for member in self.members)

    def keep(self, known: Collection[str]) -> "PredictionTable":
        """Return the table with the answers about the utterances ``known`` only, and the members that give some."""
        is_known = np.isin(self.ids, np.array(list(known), dtype=np.str_))
        members = [replace(member, rows=member.rows[is_known[member.rows]]) for member in self.members]
        labels = None if self.labels is None else {name: own for name, own in self.labels.items() if name in known}
        return replace(self, members=tuple(member for member in members if len(member.rows)), labels=labels)


def load_predictions(
    path: Path, *, label: str | None = None, corpus: Corpus | None = None, classes: Collection[str] = ()
) -> PredictionTable:
    """Read a wide or a long prediction file.

    Args:
        path: CSV or Parquet. Wide: ``utterance`` and a column of class names for each member, headed ``run@step``.
            Long: ``utterance``, ``run``, ``step`` and either ``predicted`` or a column of numbers for each class.
        label: the column of true labels, if there is one.
        corpus: its ids and classes are taken as they are, if there is one.
        classes: further names that are. White space around any other name is a spreadsheet's.

    Raises:
        CorpusError: if a column is missing or cannot be meant, a cell is empty, or an utterance repeats.
        StoreError: if a member's name breaks its rule.
    """
    known = frozenset([*classes, *(() if corpus is None else (*corpus.ids.tolist(), *corpus.classes))])
    loaded = load_table(path)
    table = _rename_columns(loaded.frame, (PREDICTED, *LONG, *([label] if label else [])), known)
    columns = table.columns
    if "utterance" not in columns:
        raise CorpusError(f"{path} has the columns {', '.join(columns[:8])}: expected one called utterance")
    if label is not None and label not in columns:
        raise CorpusError(f"{path}: {describe_unknown('column', label, columns)}")
    is_long = {"run", "step"} <= set(columns)
    if label in ((PREDICTED, *LONG) if is_long else ("utterance",)) or "@" in (label or ""):
        raise CorpusError(f"{path}: column {label} does not hold true labels: name the column that does with `label`")
    cells = Cells(table, path, known)
    ids, notes = _read_ids(cells, [] if corpus is None else corpus.ids.tolist())
    labels = None if label is None else _unite_labels(ids, cells.read_text(label), path)
    members = _find_long(cells, ids) if is_long else _find_wide(cells, ids, label)
    spoken_for = {"utterance", label, *(LONG if is_long else ()), *(member.header for member in members)}
    further = tuple(column for column in columns if column not in spoken_for)
    return PredictionTable(cells, ids, labels, tuple(members), is_long, further, (*loaded.notes, *notes))


def _rename_columns(table: Any, meant: Iterable[str], known: Collection[str]) -> Any:
    """With headers as they are meant: without white space around them, and those looked for in any case."""
    names = {column: column if column in known else normalise_text(column) for column in table.columns}
    if len(set(names.values())) < len(names):
        names = {column: column for column in names}
    for word in meant:
        if word not in names.values():
            same = [column for column in names if column not in known and fold_text(column) == fold_text(word)]
            names |= {same[0]: word} if len(same) == 1 else {}
    return table.rename(names)


def _read_ids(cells: Cells, known: Sequence[str]) -> tuple[NDArray[np.str_], list[str]]:
    """The ids, ``(rows,)``, those that the corpus has in another form in that form.

    Without a corpus an id that stands here with a path or suffix and there without is that without.
    """
    ids = cells.read_text("utterance")
    unique, places = np.unique(ids, return_inverse=True)
    read = match_names(
        unique.tolist(), known or [name for name in unique.tolist() if name == unwrap_id(name)], unwrap_id
    )
    return np.array([read.get(name, name) for name in unique.tolist()])[places], describe_spellings(read, "ids")


def _find_wide(cells: Cells, ids: NDArray[np.str_], label: str | None) -> list[MemberRows]:
    path, headers = cells.path, [header for header in cells.headers if header not in ("utterance", label)]
    if not headers:
        raise CorpusError(f"{path} has no column of predictions: expected one or more headed run@step")
    _refuse_repeated(ids, path)
    members: dict[str, MemberRows] = {}
    for header in headers:
        if "@" in header:
            member = MemberRows(*_parse(header, path), np.arange(len(ids)), header)
            if member.name in members:
                raise CorpusError(f"{path}: two columns stand for the member {member.name}: expected every member once")
            members[member.name] = member
    return list(members.values())


def _find_long(cells: Cells, ids: NDArray[np.str_]) -> list[MemberRows]:
    names = np.char.add(np.char.add(cells.read_text("run"), "@"), cells.read_steps())
    unique, member_of_row = np.unique(names, return_inverse=True)
    order = np.argsort(member_of_row, kind="stable")
    bounds = np.searchsorted(member_of_row[order], np.arange(len(unique) + 1)).tolist()
    header = PREDICTED if PREDICTED in cells.headers else None
    members = []
    for name, start, stop in zip(unique.tolist(), bounds, bounds[1:], strict=False):
        rows = order[start:stop]
        _refuse_repeated(ids[rows], cells.path, name)
        members.append(MemberRows(*_parse(name, cells.path), rows, header))
    return members


def _parse(name: str, path: Path) -> tuple[str, int]:
    if PLUS in name:
        raise CorpusError(
            f"{path}: {name} is an ensemble: expected run@step; call it otherwise, such as best@0, or leave it out, or "
            "export what `vote()` keeps of it by `save`"
        )
    run, step = parse_member(name)
    return run, step or 0


def _refuse_repeated(ids: NDArray[np.str_], path: Path, member: str = "") -> None:
    unique, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        where = f" of {member}" if member else ""
        raise CorpusError(
            f"{path}: utterance {unique[counts > 1][0]!s} stands in {counts.max()} rows{where}: expected every id once"
        )


def _unite_labels(ids: NDArray[np.str_], labels: NDArray[np.str_], path: Path) -> dict[str, str]:
    """Id to true label; in a long file, which names an utterance once for each member, all must agree."""
    found: dict[str, str] = {}
    for utterance, said in zip(ids.tolist(), labels.tolist(), strict=True):
        if found.setdefault(utterance, said) != said:
            raise CorpusError(f"{path}: utterance {utterance} is labelled both {found[utterance]} and {said}")
    return found
