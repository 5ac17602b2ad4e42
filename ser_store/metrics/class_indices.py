"""Checks of class indices and of confusion matrices, before anything is computed of them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError

ABSTAINED = -1

Indices = NDArray[np.intp]


def check_pair(truth: ArrayLike, predicted: ArrayLike, n_classes: int) -> tuple[Indices, Indices]:
    """Return truth ``(n,)`` and predictions ``(..., n)`` as indices, -1 among the predictions being an abstention.

    Raises:
        MetricError: if the arrays are empty, do not fit each other or leave ``0..n_classes-1``.
    """
    if n_classes < 1:
        raise MetricError(f"n_classes is {n_classes}: expected at least 1")
    true, guess = check_truth(truth), check_predicted(predicted)
    check_same_length(true, guess)
    check_range("truth", true, n_classes, lowest=0)
    check_range("predicted", guess, n_classes, lowest=ABSTAINED)
    return true, guess


def check_truth(truth: ArrayLike) -> Indices:
    """Return ``truth``, ``(n,)``, as indices that numpy's own indexing takes without another copy."""
    labels = np.asarray(truth)
    if labels.ndim != 1 or len(labels) == 0:
        raise MetricError(f"truth has shape {labels.shape}: expected (n,), one class index per utterance, n >= 1")
    return _check_indices("truth", labels, lowest=0)


def check_predicted(predicted: ArrayLike) -> Indices:
    """Return ``predicted``, ``(n,)`` or with further axes before it, as indices; -1 is an abstention."""
    labels = np.asarray(predicted)
    if labels.ndim < 1 or labels.size == 0:
        raise MetricError(f"predicted has shape {labels.shape}: expected (n,), one class index per utterance, n >= 1")
    return _check_indices("predicted", labels, lowest=ABSTAINED)


def check_same_length(true: Indices, guess: Indices) -> None:
    """Refuse predictions that are not one for each utterance."""
    if guess.shape[-1] != len(true):
        raise MetricError(f"predicted has {guess.shape[-1]} entries: expected {len(true)}, as many as truth")


def check_range(name: str, labels: Indices, n_classes: int, *, lowest: int) -> None:
    """Refuse indices of classes that there are not."""
    if labels.max() >= n_classes:
        raise MetricError(f"{name} holds {labels.max()}: expected {lowest}..{n_classes - 1}, indices of the classes")


def check_confusion(confusion: ArrayLike) -> NDArray[Any]:
    """Return ``confusion`` as an array of counts.

    Raises:
        MetricError: if it is not ``(..., c, c)`` or ``(..., c, c + 1)`` with counts that are finite and not negative.
    """
    counts = np.asarray(confusion)
    if counts.ndim < 2 or not 0 < counts.shape[-2] <= counts.shape[-1] <= counts.shape[-2] + 1:
        raise MetricError(
            f"the confusion matrix has shape {counts.shape}: expected (..., c, c), rows = true, columns = predicted, "
            "or (..., c, c + 1) with the abstentions in the last column"
        )
    if not (np.issubdtype(counts.dtype, np.integer) or np.issubdtype(counts.dtype, np.floating)):
        raise MetricError(f"the confusion matrix is of type {counts.dtype}: expected counts")
    if counts.size and not (counts.min() >= 0 and np.isfinite(counts.max())):
        raise MetricError("the confusion matrix holds counts that are negative or not finite: expected counts from 0")
    return counts


def _check_indices(name: str, labels: NDArray[np.generic], *, lowest: int) -> Indices:
    if not np.issubdtype(labels.dtype, np.integer):
        raise MetricError(f"{name} is of type {labels.dtype}: expected integers, indices of the classes")
    if labels.min() < lowest:
        raise MetricError(f"{name} holds {labels.min()}: expected class indices from {lowest} up")
    return labels.astype(np.intp, copy=False)
