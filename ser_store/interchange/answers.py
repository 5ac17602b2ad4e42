"""What the members of a prediction table answer: names of classes, or a number for each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import CorpusError
from ser_store.interchange.columns import KIND_COLUMN, find_stated_classes
from ser_store.interchange.prediction_table import MemberRows, PredictionTable
from ser_store.interchange.scores import check_numbers, convert, recognise


@dataclass(frozen=True)
class Answers:
    """What one member answers about ``m`` utterances, in any order.

    Attributes:
        member: whose.
        ids: ``(m,)`` str.
        names: ``(m,)`` str, labels as they are written, empty where there is none; None where there are numbers.
        numbers: ``(m, c)`` float32 as they are stored; None where there are labels.
        classes: the class of each column of the numbers.
    """

    member: MemberRows
    ids: NDArray[np.str_]
    names: NDArray[np.str_] | None
    numbers: NDArray[np.float32] | None
    classes: tuple[str, ...]

    def name_answers(self, order: Sequence[str]) -> NDArray[np.str_]:
        """Return the labels, or the classes with the highest number; of equal ones the first in ``order``."""
        if self.numbers is None or self.names is not None:
            return np.array([], dtype=np.str_) if self.names is None else self.names
        classes = [*order, *(name for name in self.classes if name not in order)]
        places = [self.classes.index(name) for name in classes if name in self.classes]
        highest: NDArray[np.str_] = np.array(self.classes)[places][self.numbers[:, places].argmax(axis=1)]
        return highest


def read_answers(
    table: PredictionTable, columns: Mapping[str, str], *, kind: str | None
) -> tuple[tuple[Answers, ...], dict[str, str], tuple[str, ...]]:
    """Return the answers of every member: labels, or of a long table without labels the numbers in ``columns``.

    With them come the kind of numbers of each run, none where there are labels, and a line on what they were taken for.

    Args:
        columns: header to class, for each column of numbers.
        kind: what the numbers are; None to find out for each run.

    Raises:
        CorpusError: if there are neither labels nor numbers, or a cell holds something else, or the numbers are not of
            ``kind`` or of no kind that can be told.
    """
    if table.is_long and not table.has_predicted:
        return _read_numbers(table, columns, kind)
    named = tuple(
        Answers(
            member,
            table.ids[member.rows],
            names=table.cells.read_text(member.header or "", with_empty=True)[member.rows],
            numbers=None,
            classes=(),
        )
        for member in table.members
    )
    return named, {}, ()


def _read_numbers(
    table: PredictionTable, columns: Mapping[str, str], kind: str | None
) -> tuple[tuple[Answers, ...], dict[str, str], tuple[str, ...]]:
    headers = list(columns)
    if len(headers) < 2:
        raise CorpusError(f"{table.path}: expected a column predicted, or one column of logits for each class")
    numbers, stored = table.cells.read_numbers(headers), table.cells.read_numbers(headers, np.float32)
    _refuse(np.isnan(numbers) | np.isposinf(numbers), headers, table)
    by_run: dict[str, list[NDArray[np.intp]]] = {}
    for member in table.members:
        by_run.setdefault(member.run, []).append(member.rows)
    taken: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for run, parts in by_run.items():
        rows = np.concatenate(parts)
        taken[run] = kind or _find_kind(table, run, numbers, rows)
        if kind is not None:
            check_numbers(numbers[rows], kind, run=run)
        stored[rows], kinds[run] = convert(numbers[rows], stored[rows], taken[run])
    _refuse(~np.isfinite(stored), headers, table)
    classes = tuple(columns.values())
    answers = tuple(
        Answers(member, table.ids[member.rows], names=None, numbers=stored[member.rows], classes=classes)
        for member in table.members
    )
    return answers, kinds, (_describe(taken, classes),)


def _find_kind(table: PredictionTable, run: str, numbers: NDArray[np.float64], rows: NDArray[np.intp]) -> str:
    if find_stated_classes(table.cells, table.further):
        stated = table.cells.read_cells(KIND_COLUMN)
        said: list[str] = sorted({stated[row] for row in rows.tolist()})
        if len(said) > 1:
            raise CorpusError(f"{table.path}: {run} holds {' and '.join(said)}: expected one kind of numbers in a run")
        return said[0]
    found = recognise(numbers[rows])
    if found is None:
        sums = numbers[rows].sum(axis=1)
        odd = int(np.abs(sums - np.median(sums)).argmax())
        raise CorpusError(
            f"{table.path}: most rows of {run} sum to {np.median(sums):.4g}, as probabilities do, but row "
            f"{rows[odd] + 1} to {sums[odd]:.4g}: expected the same of all; mend it, or take the numbers as they are "
            "with `kind` scores or logits"
        )
    return found


def _refuse(bad: NDArray[np.bool_], headers: Sequence[str], table: PredictionTable) -> None:
    if bad.any():
        column = int(bad.any(axis=0).argmax())
        raise CorpusError(
            f"{table.path}: column {headers[column]} holds an empty cell, NaN or infinity in row "
            f"{int(bad[:, column].argmax()) + 1}: expected finite numbers; logarithms of 0 are read with `kind` "
            "log-probabilities"
        )


def _describe(taken: Mapping[str, str], classes: Sequence[str]) -> str:
    runs: dict[str, list[Any]] = {}
    for run, kind in taken.items():
        runs.setdefault(kind, []).append(run)
    kinds = [kind + (f" ({', '.join(names)})" if len(runs) > 1 else "") for kind, names in sorted(runs.items())]
    return f"numbers read as {', '.join(kinds)} of the classes {', '.join(classes)}; `kind` says otherwise"
