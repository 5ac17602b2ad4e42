"""What a figure is asked for, and what comes of it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_store.common.display import Percent, format_interval
from ser_store.errors import StoreError
from ser_store.evaluation.choice.member_choice import Steps
from ser_store.evaluation.tables.evaluation import describe_intervals, name_utterances
from ser_store.voting.checks import Tie
from ser_store.voting.rules import Rule
from ser_store_h5.progress import Progress
from ser_store_h5.store import Store

if TYPE_CHECKING:
    from ser_store.evaluation import Evaluations
    from ser_store.figures.drawing.style import Figure, Width
    from ser_store.metrics import Evaluation
    from ser_store.statistics.intervals import Interval

# Names that a title spells out before it only counts them, and their letters.
_NAMED, _LENGTH = 3, 70


@dataclass(frozen=True)
class Question:
    """What shall be seen; parameters as those of :func:`ser_store.figures.plot.plot`."""

    store: Store
    members: Sequence[str]
    width: "Width"
    on: str | None
    split: str | None
    steps: Steps
    rule: Rule
    tie: Tie
    exclude: Sequence[str]
    by: str | None
    k: int | None
    layer: int | None
    method: str
    rows: Any
    progress: Progress

    @property
    def voting(self) -> dict[str, Any]:
        """What evaluations take besides the members."""
        return {name: getattr(self, name) for name in ("on", "split", "steps", "rule", "tie", "exclude")}


@dataclass(frozen=True)
class Drawn:
    """A figure with the title that stands in it, and why it may mislead, which stands below it."""

    figure: "Figure"
    title: str
    cautions: tuple[str, ...] = ()


def list_notes(cautions: Sequence[str], *read: str) -> list[str]:
    """Return what stands below a figure: how to read it, and its cautions, without the marks of parameters."""
    return [*(line for line in read if line), *(f"caution: {one.replace('`', '')}" for one in cautions)]


def name_scope(on: str, split: str | None, n: int) -> str:
    """Return which utterances are meant, and how many.

    >>> print(name_scope("test", "paper", 288).replace(chr(160), " "))
    on test of paper (n = 288)
    """
    return f"{name_utterances(on, split)} (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{n})"


def name_scope_of(found: "Evaluations") -> str:
    """Return the scope of evaluations."""
    return name_scope(found.on, found.split, found.members[0].metrics.n)


def name_members(names: Sequence[str]) -> str:
    """Return the names of a few members, or how many there are.

    >>> name_members(["a@1", "b@2"]), name_members(["a@1"] * 6)
    ('a@1, b@2', '6 members')
    """
    named = ", ".join(names)
    return named if len(names) == 1 or (len(names) <= _NAMED and len(named) <= _LENGTH) else f"{len(names)} members"


def describe_figures(metrics: "Evaluation", interval: "Interval") -> str:
    """Return accuracy with its interval, and balanced accuracy."""
    bounds = format_interval(interval.bounds).replace(" ", "\N{NO-BREAK SPACE}")
    return f"accuracy {Percent(metrics.accuracy)} {bounds}, balanced accuracy {Percent(metrics.balanced_accuracy)}"


def describe_methods_of(found: "Evaluations") -> str:
    """Return how the intervals of evaluations were found."""
    intervals = [one.interval for one in found.members]
    return f"95% intervals: {describe_intervals(intervals, said=found.cautions)}"


def list_records(rows: Any, key: str, needed: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the rows of a JSON document under ``key``: of a file, a result of this library, or the document itself.

    Raises:
        StoreError: if it has none, or one lacks what is ``needed``.
    """
    name = "`rows`"
    if isinstance(rows, str | os.PathLike):
        name = str(rows)
        try:
            rows = json.loads(Path(rows).read_text(encoding="utf-8"))
        except ValueError as problem:
            raise StoreError(
                f"{name}: is no JSON ({problem}): expected what a command printed with --json"
            ) from problem
    document = rows.to_json() if hasattr(rows, "to_json") else rows
    found = document.get(key) if isinstance(document, Mapping) else document
    if not isinstance(found, Sequence) or not found or not all(isinstance(one, Mapping) for one in found):
        raise StoreError(f"{name} has no {key!r}: expected a list of figures, as `to_json()` of the result has it")
    for place, one in enumerate(found, start=1):
        if missing := [field for field in needed if field not in one]:
            raise StoreError(f"{name}, row {place} of {key!r} lacks {', '.join(missing)}: expected {', '.join(needed)}")
    return list(found)
