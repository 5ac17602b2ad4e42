"""Predictions and logits as a table holds them: wide or long, its rows in any order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import CorpusError, describe_unknown
from ser_store.interchange.tables import read_table
from ser_store_h5.names import format_member, parse_member

LONG = ("utterance", "run", "step")
# Names are file stems and words. A longer one is no name, and all the others would be kept at its width.
MAX_TEXT = 1_000


@dataclass(frozen=True)
class Said:
    """One member as the table gives it: labels ``(m,)`` str or logits ``(m, c)``, for ids ``(m,)`` in any order.

    ``classes`` names the columns of the logits.
    """

    run: str
    step: int
    ids: NDArray[np.str_]
    labels: NDArray[np.str_] | None = None
    logits: NDArray[np.float32] | None = None
    classes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return format_member(self.run, self.step)


@dataclass(frozen=True)
class PredictionTable:
    """What a prediction file says.

    Attributes:
        path: the file.
        ids: its utterances, unique, ascending.
        truth: the true label of every utterance, where the file has them.
        members: each member once.
        ignored: columns of a long table with labels that say nothing about a prediction.
    """

    path: Path
    ids: NDArray[np.str_]
    truth: dict[str, str] | None
    members: tuple[Said, ...]
    ignored: tuple[str, ...]


def load_predictions(path: Path, *, label: str | None = None, known: Collection[str] = frozenset()) -> PredictionTable:
    """Read a wide or a long prediction file.

    Args:
        path: CSV or Parquet. Wide: ``utterance`` and a column of class names for each member, headed ``run@step``.
            Long: ``utterance``, ``run``, ``step`` and either ``predicted`` or a column of logits for each class.
        label: the column of true labels, if there is one.
        known: ids and classes that are taken as they are. White space around any other name is a spreadsheet's.

    Raises:
        CorpusError: if a column is missing or cannot be meant, a cell is empty, or an utterance repeats.
        StoreError: if a member's name breaks its rule.
    """
    table = _rename_columns(read_table(path), {"predicted", *LONG} | ({label} if label else set()), known)
    if "utterance" not in table.columns:
        raise CorpusError(f"{path} has the columns {', '.join(table.columns[:8])}: expected one called utterance")
    if label is not None and label not in table.columns:
        raise CorpusError(f"{path}: {describe_unknown('column', label, table.columns)}")
    is_long = {"run", "step"} <= set(table.columns)
    if label in (("predicted", *LONG) if is_long else ("utterance",)) or "@" in (label or ""):
        raise CorpusError(f"{path}: column {label} does not hold true labels: name the column that does with --label")
    cells = _Cells(table, path, known)
    ids = cells.read_text("utterance")
    truth = None if label is None else _unite_labels(ids, cells.read_text(label), path)
    further = [column for column in table.columns if column not in ("utterance", label)]
    if is_long:
        further = [column for column in further if column not in LONG]
        members, ignored = _read_long(cells, ids, further)
    else:
        members, ignored = _read_wide(cells, ids, further), []
    names = [said.name for said in members]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise CorpusError(f"{path}: two columns stand for the member {twice[0]}: expected every member once")
    return PredictionTable(path, np.unique(ids), truth, tuple(members), tuple(ignored))


def _rename_columns(table: Any, meant: Collection[str], known: Collection[str]) -> Any:
    names = {column: column if column in known else column.strip() for column in table.columns}
    if len(set(names.values())) == len(names):
        return table.rename(names)
    return table.rename({column: name for column, name in names.items() if name in meant and name not in names})


class _Cells:
    """The columns of a table, read as names or as numbers."""

    def __init__(self, table: Any, path: Path, known: Collection[str]) -> None:
        self.path = path
        self._table = table
        self._known = known

    def read_text(self, column: str) -> NDArray[np.str_]:
        """Names ``(n,)`` str, none of them empty."""
        import polars

        series = self._table[column]
        kind = series.dtype
        if kind.is_float() or kind.is_nested() or kind in (polars.Binary, polars.Object):
            raise CorpusError(f"{self.path}: column {column} holds {kind}: expected names, as text or whole numbers")
        text = series.cast(polars.String)
        stripped = text.str.strip_chars()
        empty = stripped.is_null() | (stripped == "")
        if empty.any():
            row = empty.arg_max() + 1
            raise CorpusError(f"{self.path}: column {column} is empty in row {row}: expected a value in every row")
        if text.str.contains("\0", literal=True).any() or text.str.len_chars().max() > MAX_TEXT:
            raise CorpusError(
                f"{self.path}: column {column} holds NUL or more than {MAX_TEXT} characters: expected names"
            )
        names = text.to_list()
        if (text != stripped).any():
            names = [name if name in self._known else name.strip() for name in names]
        return np.array(names, dtype=np.str_)

    def read_steps(self) -> NDArray[np.str_]:
        """Steps in plain decimal digits, so that 0100 and 100 are one step."""
        unique, places = np.unique(self.read_text("step"), return_inverse=True)
        for step in unique.tolist():
            if not (step.isascii() and step.isdigit()):
                raise CorpusError(f"{self.path}: step {step!r}: expected whole numbers of at least 0")
        return np.array([step.lstrip("0") or "0" for step in unique.tolist()], dtype=np.str_)[places]

    def read_numbers(self, columns: Sequence[str]) -> NDArray[np.float32]:
        """Logits ``(n, c)`` float32."""
        numbers = np.empty((self._table.height, len(columns)), dtype=np.float32)
        for place, column in enumerate(columns):
            series = self._table[column]
            cast = _cast_float32(series)
            unread = cast.is_null() & series.is_not_null()
            if unread.any():
                row = unread.arg_max()
                raise CorpusError(
                    f"{self.path}: column {column} must hold logits, but row {row + 1} has {series[row]!r}: expected "
                    f"numbers; if it holds the true labels, say --label {column}, and if it is no class, drop it"
                )
            finite = cast.is_finite().fill_null(value=False)
            if not finite.all():
                raise CorpusError(
                    f"{self.path}: column {column} holds an empty cell, NaN or infinity in row "
                    f"{(~finite).arg_max() + 1}: expected finite numbers"
                )
            numbers[:, place] = cast.to_numpy()
        return numbers


def _cast_float32(series: Any) -> Any:
    """Null where it is no number. Text becomes float32 at once: by way of float64 it would be rounded twice."""
    import polars

    if series.dtype == polars.String:
        series = series.str.strip_chars()
    elif not series.dtype.is_numeric():
        return polars.Series([None] * len(series), dtype=polars.Float32)
    return series.cast(polars.Float32, strict=False)


def _read_wide(cells: _Cells, ids: NDArray[np.str_], headers: Sequence[str]) -> list[Said]:
    path = cells.path
    if not headers:
        raise CorpusError(f"{path} has no column of predictions: expected one or more headed run@step")
    _refuse_repeated(ids, path)
    strange = [header for header in headers if "@" not in header]
    if strange:
        first, others = strange[0], ", ".join(strange[1:])
        raise CorpusError(
            f"{path}: column {first!r} is not headed run@step: if it holds the true labels, say --label {first}; if it "
            f"holds predictions, rename it, to {first}@0 where the step is unknown"
            + (f"; the same with {others}" if others else "")
        )
    members = []
    for header in headers:
        run, step = parse_member(header)
        members.append(Said(run, step or 0, ids, labels=cells.read_text(header)))
    return members


def _read_long(cells: _Cells, ids: NDArray[np.str_], further: Sequence[str]) -> tuple[list[Said], list[str]]:
    path = cells.path
    classes = tuple(column for column in further if column != "predicted")
    has_labels = "predicted" in further
    if not has_labels and len(classes) < 2:
        raise CorpusError(f"{path}: expected a column predicted, or one column of logits for each class")
    labels = cells.read_text("predicted") if has_labels else None
    logits = None if has_labels else cells.read_numbers(classes)
    names = np.char.add(np.char.add(cells.read_text("run"), "@"), cells.read_steps())
    unique, member_of_row = np.unique(names, return_inverse=True)
    order = np.argsort(member_of_row, kind="stable")
    bounds = np.searchsorted(member_of_row[order], np.arange(len(unique) + 1)).tolist()
    members = []
    for name, start, stop in zip(unique.tolist(), bounds, bounds[1:], strict=False):
        inside = order[start:stop]
        run, step = parse_member(name)
        _refuse_repeated(ids[inside], path, name)
        if labels is not None:
            members.append(Said(run, step or 0, ids[inside], labels=labels[inside]))
        elif logits is not None:
            members.append(Said(run, step or 0, ids[inside], logits=logits[inside], classes=classes))
    return members, list(classes) if has_labels else []


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
