"""What a figure is asked for, and what comes of it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Percent, format_interval
from ser_store.errors import StoreError
from ser_store.evaluation.choice.covering import choose_covering
from ser_store.evaluation.choice.ensemble_names import EnsembleRule, VotingRule
from ser_store.evaluation.choice.member_choice import Steps
from ser_store.evaluation.tables import describe_intervals
from ser_store.voting.checks import Tie
from ser_store_h5.progress import Progress
from ser_store_h5.store import Store

if TYPE_CHECKING:
    from ser_store.evaluation import Evaluations
    from ser_store.figures.drawing.style import Figure, Width
    from ser_store.metrics import Evaluation
    from ser_store.statistics.bootstrap import Interval

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
    rule: EnsembleRule
    tie: Tie
    exclude: Sequence[str]
    by: str | None
    k: int | None
    layer: int | None
    method: str
    rows: Any
    progress: Progress

    @property
    def voting_rule(self) -> VotingRule:
        return VotingRule(self.rule, self.tie, self.split)

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
    where = on if on == "all" or split is None else f"{on} of {split}"
    return f"on {where} (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{n})"


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


def describe_choice(name: str, selection: Mapping[str, Any], n_candidates: int) -> str:
    """Return what is left of the figure of what was chosen on the utterances that are drawn.

    Args:
        name: of what was chosen.
        selection: its figure as found and corrected, as JSON documents have it.
        n_candidates: among which it was chosen.
    """
    interval = "" if selection["interval"] is None else f" {format_interval(selection['interval'])}"
    return (
        f"best of {n_candidates}: {name}, apparent {Percent(selection['apparent'])}, corrected "
        f"{Percent(selection['corrected'])}{interval} for having been chosen on these utterances"
    )


def find_rows(asked: Question, found: "Evaluations") -> NDArray[np.int32]:
    """Return the utterances that the members were evaluated on."""
    names = [one.member for one in found.members]
    rows = asked.store.corpus.rows(found.on, split=asked.split)
    return choose_covering(asked.store, names, rows, on=found.on).rows


@dataclass(frozen=True)
class Document:
    """What a sweep or another table of figures found, as its JSON has it, and what it is called in messages."""

    name: str
    content: Any

    def list_records(self, key: str, needed: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the rows under ``key``.

        Raises:
            StoreError: if there are none, or one lacks what is ``needed``.
        """
        content = self.content
        found = content.get(key) if isinstance(content, Mapping) else content
        if not isinstance(found, Sequence) or not found or not all(isinstance(one, Mapping) for one in found):
            raise StoreError(
                f"{self.name} has no {key!r}: expected a list of figures, as `to_json()` of the result has it"
            )
        for place, one in enumerate(found, start=1):
            if missing := [field for field in needed if field not in one]:
                lacks = f"{self.name}, row {place} of {key!r} lacks {', '.join(missing)}"
                raise StoreError(f"{lacks}: expected {', '.join(needed)}")
        return list(found)


def load_document(rows: Any) -> Document:
    """Return the document that ``rows`` stand for: a file, a result of this library, or the document itself.

    Raises:
        StoreError: if the file is no JSON.
    """
    if not isinstance(rows, str | os.PathLike):
        return Document("`rows`", rows.to_json() if hasattr(rows, "to_json") else rows)
    try:
        return Document(str(rows), json.loads(Path(rows).read_text(encoding="utf-8")))
    except ValueError as problem:
        raise StoreError(f"{rows}: is no JSON ({problem}): expected what a command printed with --json") from problem
