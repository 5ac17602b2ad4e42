"""The answer of :func:`ser_store.compare`: what was compared, and a verdict on every pair."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ser_store.common.display import Aside, Block, Points, Result, Table
from ser_store.evaluation.tables import (
    caption_utterances,
    describe_intervals,
    format_p,
    tabulate_accuracies,
)
from ser_store.evaluation.uncertainty import describe_accuracy
from ser_store.metrics import Evaluation
from ser_store.statistics.bootstrap import Interval
from ser_store.statistics.comparisons import PairComparison
from ser_store.statistics.matched_tests import CochranQ

# Two longer names would make the line of a pair wider than 120 characters: they are numbered then.
MAX_NAME = 13


@dataclass(frozen=True)
class Compared:
    """One member, or one ensemble of several.

    Attributes:
        name: the member's full name, or those of an ensemble's members joined by plus signs.
        members: full names.
        metrics: every metric of the confusion matrix.
        interval: of the accuracy.
        balanced_interval: of the balanced accuracy.
    """

    name: str
    members: tuple[str, ...]
    metrics: Evaluation
    interval: Interval
    balanced_interval: Interval

    def to_json(self) -> dict[str, Any]:
        accuracy = describe_accuracy(self.metrics, self.interval, self.balanced_interval)
        return {"name": self.name, "members": list(self.members), **accuracy}


@dataclass(frozen=True)
class Pair:
    """Two of them against each other.

    Attributes:
        test: by speaker where speakers are the units, else McNemar's exact test; corrected for all pairs compared.
        p_mcnemar: of this pair alone, McNemar's exact test, which takes utterances as independent.
    """

    test: PairComparison
    p_mcnemar: float

    def to_json(self) -> dict[str, Any]:
        test = self.test
        return {
            "first": test.first,
            "second": test.second,
            "only_first": test.only_first,
            "only_second": test.only_second,
            "difference": test.difference,
            "ci95": list(test.interval.bounds),
            "p": test.p,
            "p_holm": test.p_holm,
            "method": test.method,
            "p_mcnemar": self.p_mcnemar,
            "verdict": test.verdict,
        }


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Members and ensembles on the same utterances.

    Attributes:
        on: the part of the split.
        split: the split; None where the corpus has none.
        unit: ``speaker`` or ``utterance``: what is taken as independent of each other.
        n_units: how many of them there are.
        rule: how ensembles vote.
        tie: how their ties are decided.
        alpha: the significance level: the chance to call any two different that are not.
        compared: the members and ensembles, in the order named.
        cochran: whether they differ at all, for three or more; takes utterances as independent.
        pairs: every two of them, or each with the one that all were compared with, second.
        cautions: why the verdicts may mislead; empty if there is no known reason.
    """

    on: str
    split: str | None
    unit: str
    n_units: int
    rule: str
    tie: str
    alpha: float
    compared: tuple[Compared, ...]
    cochran: CochranQ | None
    pairs: tuple[Pair, ...]
    cautions: tuple[str, ...]

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore compare`` prints."""
        yield from _tabulate_comparison(self)

    def caption(self) -> str:
        where = caption_utterances(self.on, self.split, self.compared[0].metrics.n)
        by = f"{self.n_units} speakers as units" if self.unit == "speaker" else "utterances as units"
        return f"compared {where}, {by}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each pair: who, the verdict, the difference in accuracy with its interval, and p."""
        return [
            {
                "first": pair.test.first,
                "second": pair.test.second,
                "verdict": pair.test.verdict,
                "only_first": pair.test.only_first,
                "only_second": pair.test.only_second,
                "difference": pair.test.difference,
                "low": pair.test.interval.low,
                "high": pair.test.interval.high,
                "p": pair.test.p,
                "p_holm": pair.test.p_holm,
                "p_mcnemar": pair.p_mcnemar,
            }
            for pair in self.pairs
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "on": self.on,
            "split": self.split,
            "n": self.compared[0].metrics.n,
            "unit": self.unit,
            "n_units": self.n_units,
            "rule": self.rule,
            "tie": self.tie,
            "alpha": self.alpha,
            "compared": [one.to_json() for one in self.compared],
            "cochran": None if self.cochran is None else vars(self.cochran),
            "pairs": [pair.to_json() for pair in self.pairs],
            "cautions": list(self.cautions),
        }


def _tabulate_comparison(comparison: Comparison) -> Iterator[Block]:
    where = caption_utterances(comparison.on, comparison.split, comparison.compared[0].metrics.n)
    yield Aside(f"{len(comparison.compared)} compared {where}")
    numbered = any(len(one.name) > MAX_NAME for one in comparison.compared)
    yield from _tabulate_compared(comparison, numbered=numbered)
    described = describe_intervals([one.interval for one in comparison.compared], said=comparison.cautions)
    yield f"\n95% intervals: {described}"
    if any(len(one.members) > 1 for one in comparison.compared):
        ties = f", ties to {comparison.tie}" if comparison.rule == "hard" else ""
        yield f"ensembles by {comparison.rule} voting{ties}"
    if comparison.cochran is not None:
        test = comparison.cochran
        verdict = "they differ" if test.p < comparison.alpha else "cannot tell whether they differ"
        assumed = " with utterances as independent" if comparison.unit == "speaker" else ""
        yield f"Cochran's Q {test.q:.2f}, {test.df} degrees of freedom, p {format_p(test.p)}{assumed}: {verdict}"
    yield ""
    yield from _tabulate_pairs(comparison, numbered=numbered)


def _tabulate_compared(comparison: Comparison, *, numbered: bool) -> Iterator[Block]:
    compared = comparison.compared
    header, cells = tabulate_accuracies(compared, [one.metrics for one in compared])
    rows = [
        [str(place) if numbered else "", one.name, *own]
        for place, (one, own) in enumerate(zip(compared, cells, strict=True), start=1)
    ]
    best = {"accuracy": max, "balanced accuracy": max}
    yield Table(["", "member", *header], rows, best=best, keys=2 if numbered else 1)


def _tabulate_pairs(comparison: Comparison, *, numbered: bool) -> Iterator[Block]:
    places = {one.name: str(place) for place, one in enumerate(comparison.compared, start=1)}
    several = len(comparison.pairs) > 1
    by_speaker = comparison.unit == "speaker"
    rows = []
    for pair in comparison.pairs:
        test = pair.test
        first, second = (places[name] if numbered else name for name in (test.first, test.second))
        rows.append(
            [
                first,
                test.verdict,
                second,
                test.only_first,
                test.only_second,
                Points(test.difference),
                f"[{test.interval.low * 100:+.1f}, {test.interval.high * 100:+.1f}]",
                *([format_p(pair.p_mcnemar)] if by_speaker else []),
                format_p(test.p),
                *([format_p(test.p_holm)] if several else []),
            ]
        )
    header = ["first", "is", "second", "only first", "only second", "points", "95% interval"]
    header += ["McNemar", "p by speaker"] if by_speaker else ["McNemar"]
    yield Table([*header, *(["Holm"] if several else [])], rows, keys=3)
    yield "\nonly first, only second: right for the one and wrong for the other"
    yield "points: accuracy of the first less that of the second"
    yield _describe_verdicts(comparison)


def _describe_verdicts(comparison: Comparison) -> str:
    n_pairs = len(comparison.pairs)
    tested = (
        f"swapping {comparison.n_units} speakers whole"
        if comparison.unit == "speaker"
        else "McNemar's exact test, as if utterances were independent"
    )
    corrected = f", with Holm's correction for {n_pairs} pairs" if n_pairs > 1 else ""
    return f"verdict: p below {comparison.alpha:g} by {tested}{corrected}"
