"""Metrics of classification, from arrays; in pure numpy, equal to scikit-learn.

``accuracy`` is the field's WA, ``balanced_accuracy`` (the mean recall over classes) its UA or UAR.

Classes that never occur: precision, recall and F1 are 0 where their denominator is 0. The macro average is taken
over all classes, also those that never occur; balanced accuracy over the classes that occur in the truth. This is
what scikit-learn gives with ``labels=range(n_classes)`` and ``zero_division=0``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import SerstoreError

ABSTAINED = -1


class MetricError(SerstoreError):
    """Numbers that cannot be computed from what was given."""


@dataclass(frozen=True)
class PerClass:
    """One figure per class, in the order of the classes; each ``(c,)``, float64 in 0..1, ``support`` int64."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]


@dataclass(frozen=True)
class Average:
    """Precision, recall and F1 averaged over the classes, each in 0..1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Evaluation:
    """How one member, or one ensemble, does on ``n`` utterances of ``c`` classes.

    Attributes:
        n: utterances evaluated.
        correct: utterances predicted right; abstentions are not right.
        accuracy: ``correct / n``, in 0..1.
        balanced_accuracy: mean recall over the classes that occur in the truth, in 0..1.
        confusion: ``(c, c)`` int64, rows = true, columns = predicted; abstentions are in no column.
        per_class: precision, recall, F1 and support of every class.
        macro_avg: plain mean over all classes.
        weighted_avg: mean over all classes, weighted by support.
    """

    n: int
    correct: int
    accuracy: float
    balanced_accuracy: float
    confusion: NDArray[np.int64]
    per_class: PerClass
    macro_avg: Average
    weighted_avg: Average


def compute_accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """The share of utterances that are predicted right, in 0..1.

    Args:
        truth: ``(n,)`` class indices.
        predicted: ``(n,)`` class indices; -1, an abstention, is wrong.

    Raises:
        MetricError: if the arrays are empty, differ in shape or hold no class indices.

    >>> compute_accuracy([0, 1, 2, 2], [0, 2, 2, -1])
    0.5
    """
    true = _check_labels("truth", truth)
    guess = _check_labels("predicted", predicted, lowest=ABSTAINED)
    _check_same_length(true, guess)
    return int(np.count_nonzero(true == guess)) / len(true)


def compute_balanced_accuracy(truth: ArrayLike, predicted: ArrayLike, *, n_classes: int) -> float:
    """The mean recall over the classes that occur in the truth, in 0..1.

    Args:
        truth: ``(n,)`` class indices in ``0..n_classes-1``.
        predicted: ``(n,)`` class indices, or -1, an abstention, which is wrong.
        n_classes: number of classes.

    Raises:
        MetricError: if the arrays are empty, differ in shape or leave the range.

    >>> compute_balanced_accuracy([0, 0, 0, 1], [0, 0, 1, 1], n_classes=3)
    0.8333333333333333
    """
    true, guess = _check_pair(truth, predicted, n_classes)
    support = np.bincount(true, minlength=n_classes)
    right = np.bincount(true[true == guess], minlength=n_classes)
    occurs = support > 0
    return float(np.mean(right[occurs] / support[occurs]))


def compute_confusion(truth: ArrayLike, predicted: ArrayLike, *, n_classes: int) -> NDArray[np.int64]:
    """The confusion matrix, ``(c, c)`` int64: rows = true, columns = predicted.

    Abstentions (-1) are in no column, so that a row sums to its support less the abstentions.

    Args:
        truth: ``(n,)`` class indices in ``0..n_classes-1``.
        predicted: ``(n,)`` class indices, or -1.
        n_classes: number of classes, ``c``.

    Raises:
        MetricError: if the arrays are empty, differ in shape or leave the range.

    >>> compute_confusion([0, 0, 1, 1], [0, 1, 1, -1], n_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    true, guess = _check_pair(truth, predicted, n_classes)
    voted = guess != ABSTAINED
    cells = np.bincount(true[voted] * n_classes + guess[voted], minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64, copy=False)


def evaluate_predictions(truth: ArrayLike, predicted: ArrayLike, *, n_classes: int) -> Evaluation:
    """All the figures of a classification report.

    Args:
        truth: ``(n,)`` class indices in ``0..n_classes-1``.
        predicted: ``(n,)`` class indices, or -1, an abstention: wrong, and in no column of the confusion matrix.
        n_classes: number of classes.

    Raises:
        MetricError: if the arrays are empty, differ in shape or leave the range.
    """
    confusion = compute_confusion(truth, predicted, n_classes=n_classes)
    support = np.bincount(np.asarray(truth), minlength=n_classes).astype(np.int64, copy=False)
    right = np.diagonal(confusion)
    n_predicted = confusion.sum(axis=0)
    per_class = PerClass(
        precision=_divide(right, n_predicted),
        recall=_divide(right, support),
        f1=_divide(2 * right, support + n_predicted),
        support=support,
    )
    n, correct = int(support.sum()), int(right.sum())
    return Evaluation(
        n=n,
        correct=correct,
        accuracy=correct / n,
        balanced_accuracy=float(per_class.recall[support > 0].mean()),
        confusion=confusion,
        per_class=per_class,
        macro_avg=_average(per_class, np.ones(n_classes)),
        weighted_avg=_average(per_class, support.astype(np.float64)),
    )


def log_softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Natural logarithms of the probabilities, ``(..., c)`` float64, stable for logits of any size.

    Args:
        logits: ``(..., c)``, finite.

    Raises:
        MetricError: if a logit is not finite, or there are none.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim == 0 or scores.size == 0:
        raise MetricError(f"logits have shape {scores.shape}: expected (n, n_classes), at least one of each")
    if not np.isfinite(scores).all():
        raise MetricError(
            f"{np.count_nonzero(~np.isfinite(scores))} of {scores.size} logits are not finite: expected finite "
            "numbers; check that training did not diverge"
        )
    shifted = scores - scores.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    log_probabilities: NDArray[np.float64] = shifted - log_sum
    return log_probabilities


def softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Probabilities in 0..1, ``(..., c)`` float64, which sum to 1 over the last axis.

    Raises:
        MetricError: as :func:`log_softmax`.

    >>> softmax([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """
    probabilities: NDArray[np.float64] = np.exp(log_softmax(logits))
    return probabilities


def compute_log_loss(truth: ArrayLike, logits: ArrayLike) -> float:
    """Mean cross-entropy in nats, 0 or greater: ``-mean(log_softmax(logits)[i, truth[i]])``.

    Args:
        truth: ``(n,)`` class indices.
        logits: ``(n, c)``, finite.

    Raises:
        MetricError: if the arrays are empty, do not fit each other or hold what is not finite.
    """
    scores = np.asarray(logits)
    true = _check_labels("truth", truth)
    if scores.ndim != 2 or len(scores) != len(true):
        raise MetricError(f"logits have shape {scores.shape}: expected ({len(true)}, n_classes), a row per utterance")
    _check_range("truth", true, scores.shape[1], lowest=0)
    picked = np.take_along_axis(log_softmax(scores), true[:, None], axis=1)
    return -float(picked.mean())


def _divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    """Quotients, 0 where the denominator is 0."""
    quotients = np.zeros(len(numerator))
    np.divide(numerator, denominator, out=quotients, where=denominator != 0)
    return quotients


def _average(per_class: PerClass, weights: NDArray[np.float64]) -> Average:
    return Average(
        precision=float(np.average(per_class.precision, weights=weights)),
        recall=float(np.average(per_class.recall, weights=weights)),
        f1=float(np.average(per_class.f1, weights=weights)),
    )


def _check_pair(truth: ArrayLike, predicted: ArrayLike, n_classes: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    if n_classes < 1:
        raise MetricError(f"n_classes is {n_classes}: expected at least 1")
    true, guess = _check_labels("truth", truth), _check_labels("predicted", predicted, lowest=ABSTAINED)
    _check_same_length(true, guess)
    _check_range("truth", true, n_classes, lowest=0)
    _check_range("predicted", guess, n_classes, lowest=ABSTAINED)
    return true, guess


def _check_labels(name: str, labels: ArrayLike, *, lowest: int = 0) -> NDArray[np.intp]:
    """``labels`` as indices that numpy's own indexing takes without another copy."""
    indices = np.asarray(labels)
    if indices.ndim != 1 or len(indices) == 0:
        raise MetricError(f"{name} has shape {indices.shape}: expected (n,), one class index per utterance, n >= 1")
    if not np.issubdtype(indices.dtype, np.integer):
        raise MetricError(f"{name} is of type {indices.dtype}: expected integers, indices of the classes")
    if indices.min() < lowest:
        raise MetricError(f"{name} holds {indices.min()}: expected class indices from {lowest} up")
    return indices.astype(np.intp, copy=False)


def _check_same_length(true: NDArray[np.intp], guess: NDArray[np.intp]) -> None:
    if len(true) != len(guess):
        raise MetricError(f"predicted has {len(guess)} entries: expected {len(true)}, as many as truth")


def _check_range(name: str, labels: NDArray[np.intp], n_classes: int, *, lowest: int) -> None:
    if labels.max() >= n_classes:
        raise MetricError(f"{name} holds {labels.max()}: expected {lowest}..{n_classes - 1}, indices of the classes")
