"""A comparison as tables: what is compared, and every pair with a verdict."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ser_store.common.display import Aside, Block, Points, Table
from ser_store.evaluation.tables.evaluation import (
    caption_utterances,
    describe_intervals,
    format_p,
    tabulate_accuracies,
)

if TYPE_CHECKING:
    from ser_store.evaluation.comparison import Comparison

# Two longer names would make the line of a pair wider than 120 characters: they are numbered then.
MAX_NAME = 13


def tabulate_comparison(comparison: "Comparison") -> Iterator[Block]:
    """Yield what is compared, whether they differ at all, and every pair with a verdict."""
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


def _tabulate_compared(comparison: "Comparison", *, numbered: bool) -> Iterator[Block]:
    compared = comparison.compared
    header, cells = tabulate_accuracies(compared, [one.metrics for one in compared])
    rows = [
        [str(place) if numbered else "", one.name, *own]
        for place, (one, own) in enumerate(zip(compared, cells, strict=True), start=1)
    ]
    best = {"accuracy": max, "balanced accuracy": max}
    yield Table(["", "member", *header], rows, best=best, keys=2 if numbered else 1)


def _tabulate_pairs(comparison: "Comparison", *, numbered: bool) -> Iterator[Block]:
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


def _describe_verdicts(comparison: "Comparison") -> str:
    n_pairs = len(comparison.pairs)
    tested = (
        f"swapping {comparison.n_units} speakers whole"
        if comparison.unit == "speaker"
        else "McNemar's exact test, as if utterances were independent"
    )
    corrected = f", with Holm's correction for {n_pairs} pairs" if n_pairs > 1 else ""
    return f"verdict: p below {comparison.alpha:g} by {tested}{corrected}"
