"""Members on each group of utterances, and whether the groups differ in accuracy by more than chance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Block, Figure, Percent, Table
from ser_store.errors import CorpusError, UnknownNameError, describe_unknown
from ser_store.evaluation.tables import (
    describe_intervals,
    format_bounds,
    format_p,
    head_intervals,
    list_interval_cells,
)
from ser_store.evaluation.uncertainty import (
    IntervalRule,
    describe_accuracy,
    find_accuracy_intervals,
    find_balanced_intervals,
)
from ser_store.metrics import Evaluation, evaluate_outcomes
from ser_store.metrics.calibration import ProbabilityScores, describe_probabilities, evaluate_logits
from ser_store.metrics.confusion import count_outcomes
from ser_store.statistics.bootstrap import Interval
from ser_store.statistics.group_gaps import GroupGap, compare_groups
from ser_store_h5.corpus import Corpus

# Of fewer utterances than this, a single one moves the accuracy by more than ten points.
SMALL_GROUP = 10
_ALPHA = 0.05
# Small groups that are listed before the list is cut short.
_NAMED = 8


@dataclass(frozen=True)
class Slice:
    """One member on one group of utterances.

    Attributes:
        group: the group's name.
        metrics: every metric of the confusion matrix.
        interval: of the accuracy.
        probabilities: top-2 accuracy and the like, or None where the member holds labels only.
        balanced_interval: of the balanced accuracy; None where it was not asked for.
    """

    group: str
    metrics: Evaluation
    interval: Interval
    probabilities: ProbabilityScores | None
    balanced_interval: Interval | None = None

    @property
    def is_small(self) -> bool:
        """Whether the group has too few utterances for its figures to say much."""
        return self.metrics.n < SMALL_GROUP

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        figures = {**self.metrics.describe_figures(classes), **describe_probabilities(self.probabilities)}
        return {
            **describe_accuracy(self.metrics, self.interval, self.balanced_interval),
            **figures,
            "small": self.is_small,
        }


@dataclass(frozen=True)
class Slices:
    """One member on every group of utterances.

    Attributes:
        by: what groups the utterances: ``speaker``, ``label`` or a column.
        slices: one for each group, by name; numbers by size.
        test: whether the groups differ in accuracy by more than chance; None where there is one group only.
    """

    by: str
    slices: tuple[Slice, ...]
    test: GroupGap | None

    @property
    def ranked(self) -> tuple[Slice, ...]:
        """The groups by accuracy, best first, the small ones left out where two or more others are left."""
        large = [one for one in self.slices if not one.is_small]
        chosen = large if len(large) > 1 else self.slices
        return tuple(sorted(chosen, key=lambda one: -one.metrics.accuracy))

    @property
    def best(self) -> Slice:
        return self.ranked[0]

    @property
    def worst(self) -> Slice:
        return self.ranked[-1]

    @property
    def gap(self) -> float:
        """Accuracy of the best group less that of the worst, in 0..1."""
        return self.best.metrics.accuracy - self.worst.metrics.accuracy

    @property
    def verdict(self) -> str:
        """Whether the groups differ: ``yes``, ``cannot tell``, or ``one group only``."""
        if self.test is None:
            return "one group only"
        return "yes" if self.test.p < _ALPHA else "cannot tell"

    def describe_gap(self) -> dict[str, Any]:
        """Return the gap and its test as JSON documents have them; None for each figure of a test that there is not."""
        stated = {"best": self.best.group, "worst": self.worst.group, "gap": self.gap}
        return stated | {name: getattr(self.test, name, None) for name in ("statistic", "p", "method", "caution")}


def find_groups(corpus: Corpus, by: str) -> NDArray[Any]:
    """Return the group of every utterance, ``(n,)`` of str, int64 or float64: by ``speaker``, the label, or a column.

    Raises:
        UnknownNameError: listing the columns there are.
        CorpusError: if the column has a value of its own for nearly every utterance.

    >>> import ser_store as ss
    >>> find_groups(ss.open_example().corpus, "label")[:2].tolist()
    ['neutral', 'neutral']
    """
    groupings: dict[str, NDArray[Any]] = dict(corpus.columns)
    groupings["label"] = np.array(corpus.classes)[corpus.labels]
    if corpus.speakers is not None:
        groupings["speaker"] = np.where(corpus.speakers == "", "unknown", corpus.speakers)
    if by not in groupings:
        raise UnknownNameError(describe_unknown("column", by, sorted(groupings)))
    n_values = len(np.unique(groupings[by]))
    if n_values > max(50, len(corpus) // 4):
        raise CorpusError(f"column {by} has {n_values} values: expected one that groups the utterances")
    return groupings[by]


def slice_members(
    truth: NDArray[Any],
    predicted: NDArray[Any],
    groups: NDArray[Any],
    *,
    by: str,
    n_classes: int,
    rule: IntervalRule,
    logits: list[NDArray[np.floating] | None] | None = None,
    speakers: NDArray[Any] | None = None,
    balanced: bool = False,
) -> list[Slices]:
    """Evaluate every member on every group of utterances.

    Args:
        truth: ``(n,)`` class indices.
        predicted: ``(m, n)`` class indices, or -1, an abstention.
        groups: ``(n,)``, the group of every utterance.
        n_classes: number of classes, ``c``.
        rule: how intervals are found; within a group of one or two speakers, Wilson's.
        logits: for each member ``(n, c)``, or None where it holds labels only.
        speakers: ``(n,)``, where known: the test of the gap permutes whole speakers, or within them.
        balanced: find intervals of the balanced accuracy too, about two milliseconds each.

    Raises:
        MetricError: if the arrays do not fit each other.
    """
    scored = logits or [None] * len(predicted)
    by_member: list[list[Slice]] = [[] for _ in predicted]
    for group in np.unique(groups):
        inside = groups == group
        outcomes = count_outcomes(truth[inside], predicted[:, inside], n_classes=n_classes)
        own_rule = rule.within(inside)
        intervals = find_accuracy_intervals(predicted[:, inside] == truth[inside], own_rule)
        of_balanced: Sequence[Interval | None] = [None] * len(predicted)
        if balanced:
            of_balanced = find_balanced_intervals(
                truth[inside], predicted[:, inside], n_classes=n_classes, rule=own_rule
            )
        for place, own in enumerate(scored):
            probabilities = None if own is None else evaluate_logits(truth[inside], own[inside])
            metrics = evaluate_outcomes(outcomes[place])
            by_member[place].append(Slice(str(group), metrics, intervals[place], probabilities, of_balanced[place]))
    units = None if by == "speaker" else speakers
    return [
        Slices(
            by=by,
            slices=tuple(slices),
            test=compare_groups(said == truth, groups, units=units) if len(slices) > 1 else None,
        )
        for slices, said in zip(by_member, predicted, strict=True)
    ]


def tabulate_gaps(by_member: Mapping[str, Slices]) -> Iterator[Block]:
    """Yield the worst and the best group of every member."""
    several = list(by_member.values())
    rows = [
        [
            member,
            sliced.worst.group,
            Percent(sliced.worst.metrics.accuracy),
            sliced.best.group,
            Percent(sliced.best.metrics.accuracy),
            f"{sliced.gap * 100:.1f}",
            format_p(None if sliced.test is None else sliced.test.p),
            sliced.verdict,
        ]
        for member, sliced in by_member.items()
    ]
    yield ""
    yield Table([f"by {several[0].by}", "worst", "accuracy", "best", "accuracy", "gap", "p", "groups differ"], rows)
    tested = _describe_tests(several)
    yield f"\np: {tested}" if tested else ""
    yield from _tabulate_small(several[0])


def tabulate_groups(member: str, sliced: Slices, names: Mapping[str, str]) -> Iterator[Block]:
    """Yield one line for each group of utterances, and whether they differ by more than chance."""
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
            None if one.probabilities is None else Figure(one.probabilities.log_loss),
        ]
        for one, cells in zip(sliced.slices, list_interval_cells(intervals), strict=True)
    ]
    yield f"\n{member} by {sliced.by}"
    header = [sliced.by, "n", "correct", names["accuracy"], *head_intervals(intervals)]
    header += [names["balanced_accuracy"]] if balanced else []
    header += ["95% interval"] if bounded else []
    yield Table([*header, "log-loss"], rows)
    yield f"\n95% intervals: {describe_intervals(intervals)}"
    worst, best = sliced.worst, sliced.best
    yield (
        f"worst: {worst.group} with {Percent(worst.metrics.accuracy)}; best: {best.group} with "
        f"{Percent(best.metrics.accuracy)}; gap {sliced.gap * 100:.1f} points"
    )
    tested = "" if sliced.test is None else f", p {format_p(sliced.test.p)} ({_describe_tests([sliced])})"
    yield f"groups differ: {sliced.verdict}{tested}"
    yield from _tabulate_small(sliced)


def _describe_tests(several: Sequence[Slices]) -> str:
    """Return how p was found, and what speaks against it, each once."""
    tests = [sliced.test for sliced in several if sliced.test is not None]
    cautions = dict.fromkeys(test.caution for test in tests if test.caution)
    return "; ".join([*dict.fromkeys(test.method for test in tests), *cautions])


def _tabulate_small(sliced: Slices) -> Iterator[Block]:
    small = [one.group for one in sliced.slices if one.is_small]
    if small:
        shown = ", ".join(small[:_NAMED]) + (", …" if len(small) > _NAMED else "")
        yield f"too few to be worst or best, under {SMALL_GROUP} utterances: {shown}"
