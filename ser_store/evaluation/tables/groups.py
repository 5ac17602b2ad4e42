"""Tables of groups of utterances: how each member does on them, and whether they differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ser_store.common.display import Block, Figure, Percent, Table
from ser_store.evaluation.tables.evaluation import (
    PLAIN,
    describe_intervals,
    format_bounds,
    format_p,
    head_intervals,
    list_interval_cells,
)

if TYPE_CHECKING:
    from ser_store.evaluation import Evaluations, MemberEvaluation
    from ser_store.evaluation.slices import Slices

ALPHA = 0.05
# Small groups that are listed before the list is cut short.
MAX_NAMED = 8


def tabulate_gaps(evaluations: "Evaluations") -> Iterator[Block]:
    """Yield the worst and the best group of every member."""
    rows = []
    for member in evaluations.members:
        if member.sliced is not None:
            worst, best = member.sliced.worst, member.sliced.best
            rows.append(
                [
                    member.member,
                    worst.group,
                    Percent(worst.metrics.accuracy),
                    best.group,
                    Percent(best.metrics.accuracy),
                    f"{member.sliced.gap * 100:.1f}",
                    format_p(None if member.sliced.test is None else member.sliced.test.p),
                    _judge(member.sliced),
                ]
            )
    yield ""
    yield Table([f"by {evaluations.by}", "worst", "accuracy", "best", "accuracy", "gap", "p", "groups differ"], rows)
    several = [member.sliced for member in evaluations.members if member.sliced is not None]
    tested = _describe_tests(several)
    yield f"\np: {tested}" if tested else ""
    yield from _tabulate_small(several[0])


def tabulate_groups(member: "MemberEvaluation", names: Mapping[str, str] = PLAIN) -> Iterator[Block]:
    """Yield one line for each group of utterances, and whether they differ by more than chance."""
    if member.sliced is None:
        return
    sliced = member.sliced
    balanced = sliced.by != "label"  # of one class it is the accuracy
    bounded = balanced and any(one.balanced_interval is not None for one in sliced.slices)
    intervals = [one.interval for one in sliced.slices]
    rows = [
        [
            one.group,
            one.metrics.n,
            one.metrics.correct,
            Percent(one.metrics.accuracy),
            *cells,
            *([share := Percent(one.metrics.balanced_accuracy)] if balanced else []),
            *([format_bounds(share, one.balanced_interval)] if bounded else []),
            *([] if one.probabilities is None else [Figure(one.probabilities.log_loss)]),
        ]
        for one, cells in zip(sliced.slices, list_interval_cells(intervals), strict=True)
    ]
    yield f"\n{member.member} by {sliced.by}"
    header = [sliced.by, "n", "correct", names["accuracy"], *head_intervals(intervals)]
    header += [names["balanced_accuracy"]] if balanced else []
    header += ["95% interval"] if bounded else []
    yield Table([*header, *([] if member.probabilities is None else ["log-loss"])], rows)
    yield f"\n95% intervals: {describe_intervals(intervals)}"
    worst, best = sliced.worst, sliced.best
    yield (
        f"worst: {worst.group} with {Percent(worst.metrics.accuracy)}; best: {best.group} with "
        f"{Percent(best.metrics.accuracy)}; gap {sliced.gap * 100:.1f} points"
    )
    tested = "" if sliced.test is None else f", p {format_p(sliced.test.p)} ({_describe_tests([sliced])})"
    yield f"groups differ: {_judge(sliced)}{tested}"
    yield from _tabulate_small(sliced)


def _judge(sliced: "Slices") -> str:
    if sliced.test is None:
        return "one group only"
    return "yes" if sliced.test.p < ALPHA else "cannot tell"


def _describe_tests(several: Sequence["Slices"]) -> str:
    """Return how p was found, and what speaks against it, each once."""
    tests = [sliced.test for sliced in several if sliced.test is not None]
    cautions = dict.fromkeys(test.caution for test in tests if test.caution)
    return "; ".join([*dict.fromkeys(test.method for test in tests), *cautions])


def _tabulate_small(sliced: "Slices") -> Iterator[Block]:
    """Yield the groups that are too small to be called worst or best."""
    small = [one.group for one in sliced.slices if one.is_small]
    if small:
        from ser_store.evaluation.slices import SMALL_GROUP

        shown = ", ".join(small[:MAX_NAMED]) + (", …" if len(small) > MAX_NAMED else "")
        yield f"too few to be worst or best, under {SMALL_GROUP} utterances: {shown}"
