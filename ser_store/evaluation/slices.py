"""Members on each group of utterances, and whether the groups differ in accuracy by more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import CorpusError, UnknownNameError, describe_unknown
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
        by: what groups them.
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
