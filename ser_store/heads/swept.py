"""What a sweep found, what is left of the best when its choice is corrected for, and what that looks like."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Aside, Block, Percent, Result, Table, format_count, format_interval
from ser_store.evaluation.uncertainty import (
    choose_rule,
    correct_choice,
    find_accuracy_intervals,
    find_balanced_intervals,
)
from ser_store.heads.sweep_cells import Cell
from ser_store.heads.sweep_table import Outcome
from ser_store.metrics import compute_balanced_accuracy
from ser_store.statistics.bootstrap import Interval
from ser_store.statistics.repeated_choice import SelectionBias

_SHOWN = 20
_INTERVAL = "95% interval"
_BALANCED = f"{_INTERVAL} of the balanced accuracy"


@dataclass(frozen=True)
class SweptHead:
    """The figures of one way to make a head.

    Attributes:
        kind: of the classifier.
        source: the members that it is fitted on.
        layer: their layer, or several that are joined by ``+``; None for the last.
        normalise: what inputs are standardised on.
        protocol: the cross-validation, or the split and its fold.
        train: how many of the training utterances it was fitted on: ``all``, a share, or a number per class.
        n_train: utterances it was fitted on; with cross-validation, in the largest fold's complement.
        n: utterances that it was judged on.
        accuracy: of several draws the mean.
        balanced_accuracy: mean recall over classes; of several draws the mean.
        ci95: interval of the accuracy; None of several draws.
        balanced_ci95: of the balanced accuracy likewise.
        std: standard deviation of the accuracy over draws of the training utterances; None of one.
        draws: how often the training utterances were drawn.
        seconds: of one core, all fits together.
    """

    kind: str
    source: str
    layer: int | str | None
    normalise: str
    protocol: str
    train: str
    n_train: int
    n: int
    accuracy: float
    balanced_accuracy: float
    ci95: tuple[float, float] | None
    balanced_ci95: tuple[float, float] | None
    std: float | None
    draws: int
    seconds: float

    @property
    def inputs(self) -> str:
        return self.source if self.layer is None else f"{self.source} l{self.layer}"


@dataclass(frozen=True)
class BestHead:
    """The most accurate head of one protocol, among those of the largest amount of training utterances.

    Attributes:
        head: of equals the first.
        n_candidates: among which it was chosen.
        selection: its accuracy as found, and corrected for having been chosen on the utterances it is judged on.
        note: why nothing was corrected, if so.
    """

    head: SweptHead
    n_candidates: int
    selection: SelectionBias | None
    note: str

    def describe(self) -> str:
        one, found = self.head, self.selection
        name = f"best by {one.protocol}: {one.kind} on {one.inputs}"
        name += "" if one.normalise == "train" else f" by {one.normalise}"
        if found is None:
            figures = f"{Percent(one.accuracy)}, balanced accuracy {Percent(one.balanced_accuracy)}"
            return f"{name}, {figures}, on {one.n} utterances ({self.note})"
        bounds = f" {format_interval(found.bounds)}" if found.bounds else ""
        return (
            f"{name}, apparent {Percent(found.apparent)}, corrected {Percent(found.corrected)}{bounds} for having been "
            f"chosen among {self.n_candidates} on these {one.n} utterances ({found.describe()})"
        )

    def to_json(self) -> dict[str, Any]:
        selection = None if self.selection is None else self.selection.to_json()
        return {"head": asdict(self.head), "n_candidates": self.n_candidates, "selection": selection, "note": self.note}


@dataclass(frozen=True, repr=False)
class Sweep(Result):
    """The figures of all heads that a sweep fitted.

    Attributes:
        heads: protocol by protocol, the most accurate on the largest amount first, each followed by smaller amounts.
        best: of each protocol.
        table: the file that has what was found, from which the next sweep goes on.
        fitted: figures that were computed now; all others were in the table.
        problems: why heads are missing, a line each.
        kept: members that were made of the best.
        cautions: why the figures may mislead.
    """

    heads: tuple[SweptHead, ...]
    best: tuple[BestHead, ...]
    table: Path
    fitted: int
    problems: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    def describe(self, top: int = _SHOWN) -> Iterator[Block]:
        """Yield the best of each protocol, and a table of the first ``top`` heads of each."""
        for best in self.best:
            yield best.describe()
            own = [one for one in self.heads if one.protocol == best.head.protocol]
            yield _tabulate(own[:top])
            if len(own) > top:
                yield f"… and {len(own) - top} more"
        yield from (f"left out: {problem}" for problem in self.problems)
        draws = sum(one.draws for one in self.heads)
        yield Aside(f"{self.table}: {format_count(draws, 'figure')}, {self.fitted} of them computed now")
        if self.kept:
            yield f"kept as {', '.join(self.kept)}"

    def caption(self) -> str:
        judged = dict.fromkeys(f"{one.protocol} on {one.n} utterances" for one in self.heads)
        return f"heads by accuracy, judged by {' and by '.join(judged)}"

    def records(self) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in vars(one).items() if name not in ("ci95", "balanced_ci95")}
            | {"low": low, "high": high, "balanced_low": balanced_low, "balanced_high": balanced_high}
            for one in self.heads
            for low, high in [one.ci95 or (None, None)]
            for balanced_low, balanced_high in [one.balanced_ci95 or (None, None)]
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "best": [one.to_json() for one in self.best],
            "heads": [asdict(one) for one in self.heads],
            "table": str(self.table),
            "fitted": self.fitted,
            "problems": list(self.problems),
            "kept": list(self.kept),
            "cautions": list(self.cautions),
        }


def _tabulate(heads: Sequence[SweptHead]) -> Table:
    """Columns in which all rows say the same usual thing are left out."""
    columns: dict[str, list[object]] = {
        "kind": [one.kind for one in heads],
        "inputs": [one.inputs for one in heads],
        "standardised by": [one.normalise for one in heads],
        "fitted on": [one.train for one in heads],
        "utterances": [one.n_train for one in heads],
        "accuracy": [Percent(one.accuracy) for one in heads],
        _INTERVAL: [_format(one.ci95) for one in heads],
        "± over draws": ["" if one.std is None else f"{one.std * 100:.2f}" for one in heads],
        "balanced accuracy": [Percent(one.balanced_accuracy) for one in heads],
        _BALANCED: [_format(one.balanced_ci95) for one in heads],
        "core seconds": [f"{one.seconds:.1f}" for one in heads],
    }
    usual = {"standardised by": "train", "fitted on": "all", _INTERVAL: "", "± over draws": "", _BALANCED: ""}
    shown = {name: cells for name, cells in columns.items() if name not in usual or {*cells} != {usual[name]}}
    if "fitted on" not in shown:
        del shown["utterances"]
    best = {"accuracy": max, "balanced accuracy": max}
    names = [_INTERVAL if name == _BALANCED else name for name in shown]
    return Table(names, list(zip(*shown.values(), strict=True)), best=best, keys=2)


def _format(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else format_interval(interval)


@dataclass(frozen=True, eq=False)
class Judged:
    """The utterances that all heads of one protocol are judged on, fold by fold.

    Attributes:
        name: of the protocol.
        truth: ``(n,)`` class indices.
        speakers: ``(n,)``; None if the corpus knows none.
        n_classes: of the corpus.
    """

    name: str
    truth: NDArray[np.integer[Any]]
    speakers: NDArray[np.str_] | None
    n_classes: int


def rank_heads(judged: Judged, found: Mapping[Cell, Outcome]) -> tuple[list[tuple[SweptHead, Cell]], BestHead]:
    """Return the heads of one protocol, the most accurate first, each with all amounts and its cells; and the best.

    The best is chosen among those that were fitted on the largest amount of training utterances.
    """
    draws: dict[tuple[object, ...], dict[Cell, Outcome]] = {}
    for cell, outcome in found.items():
        draws.setdefault(cell.way, {})[cell] = outcome
    right = np.array([_find_right(judged, own.values()) for own in draws.values()])
    ranked = _describe_heads(judged, list(draws.values()), right)
    largest = max((cell.amount for _, cell in ranked), key=lambda amount: amount.rank)
    candidates = [place for place, (_, cell) in enumerate(ranked) if cell.amount == largest]
    first = max((ranked[place][0] for place in candidates), key=lambda head: head.accuracy)
    outcomes = right[candidates] if first.draws > 1 else right[candidates] > 0
    best = BestHead(first, len(candidates), *correct_choice(outcomes, judged.speakers, noun="head"))
    return _order(ranked, candidates), best


def _order(ranked: Sequence[tuple[SweptHead, Cell]], candidates: Sequence[int]) -> list[tuple[SweptHead, Cell]]:
    """Return head by head, the most accurate on the largest amount first, all amounts of each, the largest first."""
    accuracies = {cell.way[:-1]: -1.0 for _, cell in ranked}
    accuracies |= {ranked[place][1].way[:-1]: ranked[place][0].accuracy for place in candidates}
    places = {way: place for place, way in enumerate(sorted(accuracies, key=lambda way: -accuracies[way]))}
    by_amount = sorted(ranked, key=lambda one: one[1].amount.rank, reverse=True)
    return sorted(by_amount, key=lambda one: places[one[1].way[:-1]])


def _find_right(judged: Judged, draws: Iterable[Outcome]) -> NDArray[np.float64]:
    """In what share of the draws each utterance is answered right, ``(n,)``."""
    right: NDArray[np.float64] = np.mean([one.predicted == judged.truth for one in draws], axis=0)
    return right


def _describe_heads(
    judged: Judged, draws: Sequence[Mapping[Cell, Outcome]], right: NDArray[np.float64]
) -> list[tuple[SweptHead, Cell]]:
    once = [place for place, own in enumerate(draws) if len(own) == 1]
    intervals: dict[int, tuple[Interval, Interval]] = {}
    if once:
        rule = choose_rule(judged.speakers)
        said = np.stack([next(iter(draws[place].values())).predicted for place in once])
        balanced = find_balanced_intervals(judged.truth, said, n_classes=judged.n_classes, rule=rule)
        found = zip(find_accuracy_intervals(right[once] > 0, rule), balanced, strict=True)
        intervals = dict(zip(once, found, strict=True))
    return [
        (_describe(judged, next(iter(own)), list(own.values()), intervals.get(place)), next(iter(own)))
        for place, own in enumerate(draws)
    ]


def _describe(
    judged: Judged, cell: Cell, draws: Sequence[Outcome], intervals: tuple[Interval, Interval] | None
) -> SweptHead:
    accuracies = [float((one.predicted == judged.truth).mean()) for one in draws]
    balanced = [compute_balanced_accuracy(judged.truth, one.predicted, n_classes=judged.n_classes) for one in draws]
    return SweptHead(
        kind=cell.request.kind,
        source=cell.input.source,
        layer=cell.input.layer,
        normalise=cell.normalise,
        protocol=judged.name,
        train=str(cell.amount),
        n_train=max(one.n_train for one in draws),
        n=len(judged.truth),
        accuracy=float(np.mean(accuracies)),
        balanced_accuracy=float(np.mean(balanced)),
        ci95=None if intervals is None else intervals[0].bounds,
        balanced_ci95=None if intervals is None else intervals[1].bounds,
        std=float(np.std(accuracies, ddof=1)) if len(draws) > 1 else None,
        draws=len(draws),
        seconds=sum(one.seconds for one in draws),
    )
