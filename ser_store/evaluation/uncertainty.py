"""The confidence intervals of a member's figures: by speaker where speakers are known."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.common.checks import check_choice
from ser_store.errors import CorpusError, UncorrectableError
from ser_store.metrics import Evaluation
from ser_store.metrics.calibration import score_utterances
from ser_store.statistics.bootstrap import FEWEST_GROUPS, Interval, Limits, resample_intervals
from ser_store.statistics.intervals import (
    accuracy_interval,
    balanced_accuracy_interval,
    mean_interval,
    metric_intervals,
)
from ser_store.statistics.repeated_choice import SelectionBias
from ser_store.statistics.selection import correct_selection_by_bootstrap

# The lowest and the highest value of the figures of probabilities.
_LIMITS: dict[str, Limits] = {"top2": (0.0, 1.0), "log_loss": (0.0, math.inf), "brier": (0.0, 2.0)}
IntervalKind = Literal["auto", "wilson", "bootstrap", "speaker"]


@dataclass(frozen=True)
class IntervalRule:
    """How intervals are found.

    Attributes:
        kind: ``wilson``: Wilson's score interval of the accuracy, bootstrap of utterances for the rest;
            ``bootstrap``: bootstrap of utterances for all; ``speaker``: bootstrap by speaker for all.
        speakers: ``(n,)``, the speaker of every utterance; None unless ``kind`` is ``speaker``.
        caution: why intervals hold the truth less often than they say, whatever the figure; None if they do not.
    """

    kind: str
    speakers: NDArray[Any] | None = None
    caution: str | None = None

    def within(self, inside: NDArray[np.bool_]) -> "IntervalRule":
        """Return the rule for some of the utterances, ``(n,)`` bool; Wilson's where they are of one or two speakers.

        Of a single speaker the interval is that of this speaker, and needs no caution.
        """
        if self.speakers is None:
            return self
        rule = choose_rule(self.speakers[inside])
        return rule if len(set(self.speakers[inside].tolist())) > 1 else replace(rule, caution=None)

    def caution_of(self, interval: Interval) -> Interval:
        """Return the interval with this rule's caution, where it has none of its own."""
        return replace(interval, caution=self.caution) if interval.caution is None else interval


def describe_accuracy(metrics: Evaluation, interval: Interval, balanced: Interval | None = None) -> dict[str, Any]:
    """Return accuracy and balanced accuracy with their intervals, as JSON documents have them."""
    document: dict[str, Any] = {
        "n": metrics.n,
        "correct": metrics.correct,
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "ci95": list(interval.bounds),
        "ci95_method": interval.method,
        "ci95_caution": interval.caution,
    }
    return document if balanced is None else document | {"balanced_accuracy_ci95": list(balanced.bounds)}


def choose_rule(speakers: NDArray[Any] | None, kind: IntervalKind = "auto") -> IntervalRule:
    """Return how intervals are found: with ``auto`` by speaker where three or more are known, else ``wilson``.

    Args:
        speakers: ``(n,)``, the speaker of every utterance, or None where unknown.
        kind: as above, or ``bootstrap``: of utterances.

    Raises:
        UnknownNameError: if there is no such kind.
        CorpusError: if intervals by speaker are asked for and fewer than two speakers are known.

    >>> choose_rule(np.array(["a", "b", "c"])).kind, choose_rule(None).kind
    ('speaker', 'wilson')
    """
    check_choice("interval", kind, get_args(IntervalKind))
    n_speakers = 0 if speakers is None else len(set(speakers.tolist()))
    if kind == "speaker" and n_speakers < 2:
        raise CorpusError(
            f"{n_speakers or 'no'} speaker{'s are' if n_speakers != 1 else ' is'} known here: expected two or more for "
            "intervals by speaker; use `interval` auto"
        )
    if kind == "speaker" or (kind == "auto" and n_speakers >= FEWEST_GROUPS):
        return IntervalRule("speaker", speakers)
    if kind != "auto":
        return IntervalRule(kind)
    few = None
    if n_speakers:
        verb = " is" if n_speakers == 1 else "s are"
        few = f"intervals take utterances as independent: {n_speakers} speaker{verb} too few"
    return IntervalRule("wilson", caution=few)


def find_accuracy_intervals(correct: NDArray[np.bool_], rule: IntervalRule) -> list[Interval]:
    """Return the interval of every member's accuracy, all from the same bootstrap samples.

    Args:
        correct: ``(m, n)`` bool, which utterances each member predicts right.

    Raises:
        MetricError: if there is no utterance.

    >>> [interval] = find_accuracy_intervals(np.array([[True] * 9 + [False]]), choose_rule(None))
    >>> interval.method, round(interval.low, 3), round(interval.high, 3)
    ('Wilson', 0.596, 0.982)
    """
    n_members, n = correct.shape
    if rule.kind == "wilson":
        return [rule.caution_of(accuracy_interval(right)) for right in correct]

    def compute(sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        return {str(place): sums[:, place] / sums[:, -1] for place in range(n_members)}

    columns = np.concatenate([correct, np.ones((1, n), dtype=bool)]).T.astype(np.float32)
    found = resample_intervals(columns, compute, groups=rule.speakers)
    # Where all are right, or none, no sample shows any spread.
    return [
        found[str(place)] if 0 < np.count_nonzero(right) < n else accuracy_interval(right)
        for place, right in enumerate(correct)
    ]


def find_balanced_intervals(
    truth: NDArray[Any], predicted: NDArray[Any], *, n_classes: int, rule: IntervalRule
) -> list[Interval]:
    """Return the interval of every member's balanced accuracy: that of :func:`find_intervals`, without the others.

    Args:
        truth: ``(n,)`` class indices.
        predicted: ``(m, n)`` class indices, or -1, an abstention.
        rule: how intervals are found; without speakers, by bootstrap of utterances.
    """
    return [
        rule.caution_of(balanced_accuracy_interval(truth, own, n_classes=n_classes, groups=rule.speakers))
        for own in predicted
    ]


def correct_choice(
    right: NDArray[Any], speakers: NDArray[np.str_] | None, *, noun: str
) -> tuple[SelectionBias | None, str]:
    """Return the best one's accuracy, corrected for the choice by speaker where known; or None, and why.

    Args:
        right: ``(m, n)``, which utterances each candidate predicts right, or in what share of several draws.
        speakers: ``(n,)``, or None where unknown.
    """
    if len(right) < 2:
        return None, f"not corrected: there is one {noun}, nothing was chosen"
    try:
        return correct_selection_by_bootstrap(right, groups=speakers), ""
    except UncorrectableError as error:
        return None, f"not corrected: {error}"


def find_intervals(
    truth: NDArray[Any], predicted: NDArray[Any], *, n_classes: int, rule: IntervalRule, logits: ArrayLike | None = None
) -> dict[str, Interval]:
    """Return the intervals of all of one member's figures, by name.

    Those of the confusion matrix (:func:`ser_store.metrics.confusion.compute_metrics_from_confusion`), and where there
    are logits, of top2, log_loss and brier. The calibration error has none: its bootstrap samples lie above the figure
    itself, because resampled utterances differ from their confidence by chance as well.

    Args:
        truth: ``(n,)`` class indices.
        predicted: ``(n,)`` class indices, or -1, an abstention.
        logits: ``(n, c)``, or None where the member holds labels only.

    Raises:
        MetricError: if the arrays do not fit each other.
    """
    found = metric_intervals(truth, predicted, n_classes=n_classes, groups=rule.speakers)
    # Recall weighted by support is the accuracy by another name.
    found["accuracy"] = found["weighted_recall"] = find_accuracy_intervals((truth == predicted)[None], rule)[0]
    if logits is not None:
        for name, scores in score_utterances(truth, logits).items():
            found[name] = mean_interval(scores, limits=_LIMITS[name], groups=rule.speakers)
    return {name: rule.caution_of(interval) for name, interval in found.items()}
