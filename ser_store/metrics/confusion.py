"""Confusion matrices, and every metric that rests on one alone.

The metrics take counts of shape ``(..., c, c)``, rows = true, columns = predicted, or ``(..., c, c + 1)`` whose last
column counts the abstentions, and give one figure for each matrix: a thousand bootstrap samples, or all members of a
store, in one call. Counts may be integers or weights, none negative.

One rule for classes that never occur, here as everywhere: balanced accuracy and the macro averages are means over the
classes that occur in the truth, so that macro recall is the balanced accuracy. A class that is never true counts in no
average, predicted or not. This is what scikit-learn gives with ``labels=np.unique(truth)`` and ``zero_division=0``; by
default it differs only where a class is predicted that is never true. Precision, recall and F1 of a class are 0 where
their denominator is 0. An abstention is wrong; for kappa and Matthews it is a class of its own that is never true. Of
no utterances at all, every figure is 0. Rounding takes no figure out of its limits.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.common.checks import check_choice
from ser_store.metrics.class_indices import ABSTAINED, check_confusion, check_pair

Floats = NDArray[np.float64]

# Far below one part in as many utterances as can be counted exactly, far above what summing weights leaves.
_ROUNDING = 1e-12
Normalisation = Literal["true", "predicted", "all"]


@dataclass(frozen=True)
class PerClass:
    """One figure per class, in the order of the classes; each ``(..., c)``, float64 in 0..1, the last one int64.

    Attributes:
        precision: share of what was predicted as the class that is of it, ``TP / (TP + FP)``.
        recall: share of the class that was predicted as it, ``TP / (TP + FN)``.
        f1: harmonic mean of both, ``2 TP / (2 TP + FP + FN)``.
        support: utterances of the class.
    """

    precision: Floats
    recall: Floats
    f1: Floats
    support: NDArray[np.int64]

    def list_scores(self, place: int) -> tuple[float, float, float] | tuple[None, None, None]:
        """Return precision, recall and F1 of one class, of ``(c,)`` each, as the averages take them.

        None for a class that is never true, which counts in no average; 0 where the denominator is 0.
        """
        if not self.support[place]:
            return None, None, None
        return float(self.precision[place]), float(self.recall[place]), float(self.f1[place])


def count_outcomes(truth: ArrayLike, predicted: ArrayLike, *, n_classes: int) -> NDArray[np.int64]:
    """Return how often each class was predicted as each, abstentions included, ``(..., c, c + 1)`` int64.

    Rows = true, columns = predicted, the last column counts abstentions, so that rows sum to the supports.

    Args:
        truth: ``(n,)`` class indices in ``0..n_classes-1``.
        predicted: ``(n,)`` class indices, or -1, an abstention; or ``(..., n)``, such as one row for each member.
        n_classes: number of classes, ``c``.

    Raises:
        MetricError: if the arrays are empty, do not fit each other or leave the range.

    >>> count_outcomes([0, 0, 1, 1], [0, 1, 1, -1], n_classes=2).tolist()
    [[1, 1, 0], [0, 1, 1]]
    """
    true, guess = check_pair(truth, predicted, n_classes)
    members = guess.reshape(-1, guess.shape[-1])
    width = n_classes + 1
    column = np.where(members == ABSTAINED, n_classes, members)
    cells = column + true * width + np.arange(len(members))[:, None] * (n_classes * width)
    counts = np.bincount(cells.ravel(), minlength=len(members) * n_classes * width)
    return counts.reshape(*guess.shape[:-1], n_classes, width).astype(np.int64, copy=False)


def compute_confusion(truth: ArrayLike, predicted: ArrayLike, *, n_classes: int) -> NDArray[np.int64]:
    """Return the confusion matrix, ``(c, c)`` int64: rows = true, columns = predicted.

    Abstentions (-1) are in no column, so that a row sums to its support less the abstentions;
    :func:`count_outcomes` keeps them.

    Args:
        truth: ``(n,)`` class indices in ``0..n_classes-1``.
        predicted: ``(n,)`` class indices, or -1; or ``(..., n)``, which gives ``(..., c, c)``.
        n_classes: number of classes, ``c``.

    Raises:
        MetricError: if the arrays are empty, do not fit each other or leave the range.

    >>> compute_confusion([0, 0, 1, 1], [0, 1, 1, -1], n_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    return count_outcomes(truth, predicted, n_classes=n_classes)[..., :n_classes]


def normalise_confusion(confusion: ArrayLike, over: Normalisation = "true") -> Floats:
    """Return the confusion matrix as shares in 0..1, float64 of the same shape.

    Args:
        confusion: ``(..., c, c)`` or ``(..., c, c + 1)`` counts.
        over: ``true``: each row sums to 1, its diagonal is the recall; ``predicted``: each column sums to 1, its
            diagonal is the precision; ``all``: the whole matrix sums to 1. What sums to 0 stays 0.

    Raises:
        MetricError: if it is no confusion matrix.
        UnknownNameError: if ``over`` is none of these.

    >>> normalise_confusion([[3, 1], [0, 0]]).tolist()
    [[0.75, 0.25], [0.0, 0.0]]
    """
    check_normalisation(over)
    counts = check_confusion(confusion)
    axes: Any = {"true": -1, "predicted": -2, "all": (-2, -1)}[over]
    return divide(counts, counts.sum(axis=axes, keepdims=True))


def compute_accuracy_from_confusion(confusion: ArrayLike) -> Floats:
    """Return the accuracy of each matrix, in 0..1, ``(...)``: the share of its utterances on the diagonal.

    Raises:
        MetricError: if it is no confusion matrix.

    >>> float(compute_accuracy_from_confusion([[3, 1], [0, 4]]))
    0.875
    """
    counts = check_confusion(confusion)
    return _limit(divide(_find_diagonal(counts).sum(axis=-1), counts.sum(axis=(-2, -1))), lowest=0)


def compute_balanced_accuracy_from_confusion(confusion: ArrayLike) -> Floats:
    """Return the balanced accuracy of each matrix, in 0..1, ``(...)``: the mean recall of the classes that occur.

    Raises:
        MetricError: if it is no confusion matrix.

    >>> float(compute_balanced_accuracy_from_confusion([[3, 1], [0, 2]]))
    0.875
    """
    counts = check_confusion(confusion)
    support = counts.sum(axis=-1)
    return _average_true(divide(_find_diagonal(counts), support), support)


def compute_per_class_from_confusion(confusion: ArrayLike) -> PerClass:
    """Return precision, recall, F1 and support of every class, each ``(..., c)``; 0 where the denominator is 0.

    Raises:
        MetricError: if it is no confusion matrix.

    >>> compute_per_class_from_confusion([[3, 1], [0, 4]]).recall.tolist()
    [0.75, 1.0]
    """
    counts = check_confusion(confusion)
    right, support, n_predicted = _find_diagonal(counts), counts.sum(axis=-1), _count_predicted(counts)
    return PerClass(
        precision=divide(right, n_predicted),
        recall=divide(right, support),
        f1=divide(2 * right, support + n_predicted),
        support=support.astype(np.int64, copy=False),
    )


def compute_kappa_from_confusion(confusion: ArrayLike) -> Floats:
    """Return Cohen's kappa of truth and predictions, in -1..1, 0 for agreement by chance, ``(...)``.

    ``(p_o - p_e) / (1 - p_e)`` with the accuracy ``p_o`` and the agreement ``p_e`` of independent labels with the same
    marginals. 0 where ``p_e`` is 1, that is where truth and predictions hold one and the same class only: nothing is
    known beyond chance then (scikit-learn gives nan there).

    Source: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20,
    1960.

    Raises:
        MetricError: if it is no confusion matrix.

    >>> float(compute_kappa_from_confusion([[3, 1], [0, 4]]))
    0.75
    """
    # In whole numbers times n squared, as float64: exact to 94 million utterances.
    counts = check_confusion(confusion).astype(np.float64)
    n = counts.sum(axis=(-2, -1))
    by_chance = (counts.sum(axis=-1) * _count_predicted(counts)).sum(axis=-1)
    beyond_chance = _subtract_from_square(n, by_chance)
    return _limit(divide(n * _find_diagonal(counts).sum(axis=-1) - by_chance, beyond_chance), lowest=-1)


def compute_matthews_from_confusion(confusion: ArrayLike) -> Floats:
    """Return Matthews' correlation coefficient for several classes, R_K, in -1..1, ``(...)``.

    With ``s`` utterances, ``r`` right, and for each class ``t`` true and ``p`` predicted ones::

        (r s - sum(t p)) / sqrt((s² - sum(p²)) (s² - sum(t²)))

    0 where truth or predictions hold one class only.

    Source: J. Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", Computational
    Biology and Chemistry 28, 2004.

    Raises:
        MetricError: if it is no confusion matrix.

    >>> round(float(compute_matthews_from_confusion([[3, 1], [0, 4]])), 4)
    0.7746
    """
    counts = check_confusion(confusion).astype(np.float64)
    n, true, said = counts.sum(axis=(-2, -1)), counts.sum(axis=-1), counts.sum(axis=-2)
    covariance = n * _find_diagonal(counts).sum(axis=-1) - (true * _count_predicted(counts)).sum(axis=-1)
    spread_true = _subtract_from_square(n, (true * true).sum(axis=-1))
    spread_said = _subtract_from_square(n, (said * said).sum(axis=-1))
    # The root of a square is exact, the product of two roots is not: a perfect member has 1.
    return _limit(divide(covariance, np.sqrt(spread_true * spread_said)), lowest=-1)


def compute_metrics_from_confusion(confusion: ArrayLike) -> dict[str, Floats]:
    """Return all figures of each matrix by name, each ``(...)``.

    accuracy, balanced_accuracy, macro_precision, macro_recall, macro_f1, weighted_precision, weighted_recall,
    weighted_f1, kappa and mcc. Macro averages are means over the classes that occur in the truth.

    Args:
        confusion: ``(..., c, c)`` or ``(..., c, c + 1)`` counts, as :func:`count_outcomes` gives them.

    Raises:
        MetricError: if it is no confusion matrix.

    >>> figures = compute_metrics_from_confusion([[[3, 1], [0, 4]], [[4, 0], [0, 4]]])
    >>> figures["macro_f1"].round(3).tolist()
    [0.873, 1.0]
    """
    counts = check_confusion(confusion)
    per_class = compute_per_class_from_confusion(counts)
    support = counts.sum(axis=-1)
    figures = {
        "accuracy": compute_accuracy_from_confusion(counts),
        "balanced_accuracy": compute_balanced_accuracy_from_confusion(counts),
    }
    scores = {"precision": per_class.precision, "recall": per_class.recall, "f1": per_class.f1}
    figures |= {f"macro_{name}": _average_true(score, support) for name, score in scores.items()}
    figures |= {
        f"weighted_{name}": divide((score * support).sum(axis=-1), support.sum(axis=-1))
        for name, score in scores.items()
    }
    figures["kappa"] = compute_kappa_from_confusion(counts)
    figures["mcc"] = compute_matthews_from_confusion(counts)
    return figures


def check_normalisation(over: Normalisation) -> None:
    """Refuse what confusion matrices cannot be normalised over.

    Raises:
        UnknownNameError: listing what there is.
    """
    check_choice("normalisation", over, get_args(Normalisation))


def divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> Floats:
    """Return quotients, 0 where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    quotients = np.zeros(shape)
    np.divide(numerator, denominator, out=quotients, where=np.broadcast_to(denominator != 0, shape))
    return quotients


def _average_true(scores: Floats, support: NDArray[Any]) -> Floats:
    """Return the means ``(...)`` of scores ``(..., c)`` over the classes that occur in the truth."""
    is_true = support > 0
    return divide((scores * is_true).sum(axis=-1), is_true.sum(axis=-1))


def _subtract_from_square(n: Floats, part: Floats) -> Floats:
    """Return ``n² - part``, 0 where rounding alone keeps it from 0: of whole numbers it is at least ``n`` or 0."""
    difference = n * n - part
    return np.where(difference < _ROUNDING * n * n, 0.0, difference)


def _limit(figures: Floats, *, lowest: int) -> Floats:
    """Return figures without what rounding adds beyond ``lowest`` and 1."""
    return np.asarray(np.clip(figures, lowest, 1))


def _find_diagonal(counts: NDArray[Any]) -> NDArray[Any]:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _count_predicted(counts: NDArray[Any]) -> NDArray[Any]:
    """Return how often each of the ``c`` classes was predicted, ``(..., c)``; abstentions are in none."""
    return np.asarray(counts.sum(axis=-2)[..., : counts.shape[-2]])
