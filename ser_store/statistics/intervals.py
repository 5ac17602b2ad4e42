"""Confidence intervals of accuracies, means and metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError
from ser_store.metrics.class_indices import ABSTAINED, check_pair
from ser_store.metrics.confusion import compute_balanced_accuracy_from_confusion, compute_metrics_from_confusion
from ser_store.statistics.bootstrap import REPEATS, Interval, Limits, bound_figures, resample_intervals
from ser_store.statistics.resampling import Units, check_repeats, find_units, resample_kinds, resample_sums

# The two-sided normal quantile of the usual 95%.
Z_95 = 1.959963984540054
_FROM_MINUS_ONE = ("kappa", "mcc")


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Return Wilson's score interval of 95% of an accuracy, ``0 <= lo <= correct / n <= hi <= 1``.

    With ``p = correct / n`` and ``z`` the two-sided normal quantile of 95%::

        (p + z² / 2n ± z * sqrt(p (1 - p) / n + z² / 4n²)) / (1 + z² / n)

    It takes the utterances as independent. Those of one speaker are not: :func:`accuracy_interval` with groups.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    Args:
        correct: utterances predicted right, in ``0..n``.
        n: utterances, at least 1.

    Raises:
        MetricError: if an argument leaves its range.

    >>> [round(bound, 4) for bound in wilson_interval(279, 288)]
    [0.9417, 0.9835]
    """
    if n < 1 or not 0 <= correct <= n:
        raise MetricError(f"{correct} correct of {n}: expected at least one utterance, and 0 to n of them correct")
    z = Z_95
    share = correct / n
    centre = share + z * z / (2 * n)
    half_width = z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    scale = 1 + z * z / n
    # The bounds of 0 and of n correct are 0 and 1; rounding must not move them.
    low = 0.0 if correct == 0 else (centre - half_width) / scale
    high = 1.0 if correct == n else (centre + half_width) / scale
    return low, high


def accuracy_interval(
    correct: ArrayLike,
    *,
    groups: ArrayLike | Sequence[Any] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Interval:
    """Return the confidence interval of an accuracy: Wilson's, or with groups that of a bootstrap by group.

    Utterances of one speaker are alike, so that 288 of them say less than 288 speakers would. With ``groups`` the
    groups are drawn, see :func:`~ser_store.statistics.bootstrap.resample_intervals`. Where all groups are equally
    accurate, as when every utterance is right, samples show no spread at all, and the interval is Wilson's.

    Args:
        correct: ``(n,)`` bool, which utterances are predicted right.
        groups: ``(n,)``, the speaker of every utterance, or another group; numbers, strings or anything hashable.
        repeats: bootstrap samples.
        seed: of the samples; the same seed gives the same interval.

    Raises:
        MetricError: if there is no utterance, only one group, no repeat, or the arrays do not fit each other.

    >>> right = [True, True, True, False] * 15
    >>> [round(bound, 3) for bound in accuracy_interval(right).bounds]
    [0.628, 0.842]
    >>> accuracy_interval(right, groups=list("aaaaabbbcccc") * 5).method
    'bootstrap by speaker'
    """
    right = check_correct(correct)
    n_right = int(np.count_nonzero(right))
    if groups is None:
        return Interval(*wilson_interval(n_right, len(right)), "Wilson")
    found = mean_interval(right, groups=groups, repeats=repeats, seed=seed)
    if found.low == found.high:
        return Interval(*wilson_interval(n_right, len(right)), "Wilson")
    return found


def metric_intervals(
    truth: ArrayLike,
    predicted: ArrayLike,
    *,
    n_classes: int,
    groups: ArrayLike | Sequence[Any] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return the bootstrap interval of every metric of the confusion matrix, by its name.

    The names are those of :func:`~ser_store.metrics.confusion.compute_metrics_from_confusion`. The accuracy's interval
    is that of :func:`accuracy_interval`; the others are those of
    :func:`~ser_store.statistics.bootstrap.resample_intervals`.

    Args:
        truth: ``(n,)`` class indices in ``0..n_classes-1``.
        predicted: ``(n,)`` class indices, or -1, an abstention.
        n_classes: number of classes.
        groups, repeats, seed: as for :func:`accuracy_interval`.

    Raises:
        MetricError: as :func:`accuracy_interval`, or if class indices leave their range.

    >>> found = metric_intervals([0, 1] * 20, [0, 1, 1, 1] * 10, n_classes=2)
    >>> found["kappa"].low < 0.5 < found["kappa"].high
    True
    """
    true, guess = check_pair(truth, predicted, n_classes)
    check_repeats(repeats)
    units = find_units(len(true), groups)
    counts, resampled = _resample_confusions(true, guess, units, n_classes=n_classes, repeats=repeats, seed=seed)
    figures, samples = compute_metrics_from_confusion(counts), compute_metrics_from_confusion(resampled)
    found: dict[str, Interval] = {}
    for name, figure in figures.items():
        limits = (-1.0, 1.0) if name in _FROM_MINUS_ONE else (0.0, 1.0)
        found |= bound_figures({name: figure}, samples, units, limits=limits)
    # Recall weighted by support is the accuracy by another name.
    accuracy = accuracy_interval(true == guess, groups=groups, repeats=repeats, seed=seed)
    return {**found, "accuracy": accuracy, "weighted_recall": accuracy}


def balanced_accuracy_interval(
    truth: ArrayLike,
    predicted: ArrayLike,
    *,
    n_classes: int,
    groups: ArrayLike | Sequence[Any] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Interval:
    """Return the interval of the balanced accuracy: that of :func:`metric_intervals`, without the others.

    Args and errors as there.

    >>> found = balanced_accuracy_interval([0, 1] * 20, [0, 1, 1, 1] * 10, n_classes=2)
    >>> found == metric_intervals([0, 1] * 20, [0, 1, 1, 1] * 10, n_classes=2)["balanced_accuracy"]
    True
    """
    true, guess = check_pair(truth, predicted, n_classes)
    check_repeats(repeats)
    units = find_units(len(true), groups)
    counts, resampled = _resample_confusions(true, guess, units, n_classes=n_classes, repeats=repeats, seed=seed)
    figure, samples = ({"": compute_balanced_accuracy_from_confusion(one)} for one in (counts, resampled))
    return bound_figures(figure, samples, units, limits=(0.0, 1.0))[""]


def _resample_confusions(
    truth: NDArray[Any], predicted: NDArray[Any], units: Units, *, n_classes: int, repeats: int, seed: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the counts ``(1, c, c + 1)``, and those of bootstrap samples ``(repeats, c, c + 1)``."""
    width = n_classes + 1
    n_cells = n_classes * width
    cells = truth * width + np.where(predicted == ABSTAINED, n_classes, predicted)
    counts = np.bincount(cells, minlength=n_cells)
    if units.numbers is None:
        sums: NDArray[Any] = resample_kinds(counts, repeats=repeats, seed=seed)
    else:
        by_unit = np.bincount(units.numbers * n_cells + cells, minlength=units.count * n_cells)
        sums = resample_sums(by_unit.reshape(units.count, n_cells).astype(np.float64), repeats=repeats, seed=seed)
    return counts.reshape(1, n_classes, width), sums.reshape(repeats, n_classes, width)


def mean_interval(
    values: ArrayLike,
    *,
    limits: Limits | None = None,
    groups: ArrayLike | Sequence[Any] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Interval:
    """Return the bootstrap interval of a mean over utterances, such as a loss or a difference of two members.

    Args:
        values: ``(n,)``, what each utterance contributes to the mean.
        limits: the lowest and the highest value that the mean can have, such as ``(0, inf)`` for a loss. Default: 0 and
            1 for bool, none for numbers.
        groups, repeats, seed: as for :func:`accuracy_interval`.

    Raises:
        MetricError: as :func:`accuracy_interval`, or if a value is not finite, or the mean leaves the limits.

    >>> interval = mean_interval([0.1, 0.3, 0.2, 0.4] * 5, limits=(0, np.inf))
    >>> 0 < interval.low < 0.25 < interval.high
    True
    """
    given = np.asarray(values)
    if limits is None:
        limits = (0.0, 1.0) if given.dtype == np.bool_ else (-np.inf, np.inf)
    each = given.astype(np.float64)
    if each.ndim != 1 or len(each) == 0 or not np.isfinite(each).all():
        raise MetricError(f"values have shape {each.shape}: expected (n,) finite numbers, one per utterance, n >= 1")

    def compute(sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        return {"mean": sums[:, 0] / sums[:, 1]}

    columns = np.stack([each, np.ones(len(each))], axis=1)
    return resample_intervals(columns, compute, limits=limits, groups=groups, repeats=repeats, seed=seed)["mean"]


def check_correct(correct: ArrayLike) -> NDArray[np.bool_]:
    """Return ``correct``, ``(n,)``, as an array of bool.

    Raises:
        MetricError: if it is not.
    """
    right = np.asarray(correct)
    if right.ndim != 1 or len(right) == 0 or right.dtype != np.bool_:
        raise MetricError(
            f"correct is of shape {right.shape} and type {right.dtype}: expected (n,) bool, one entry per utterance, "
            "n >= 1"
        )
    return right
