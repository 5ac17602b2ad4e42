"""How utterances weigh in a score that is a weighted mean over them: accuracy, balanced accuracy, a mean loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.metrics.class_indices import check_truth

# Takes how often each sample holds each utterance, ``(repeats, n)``, and gives what each utterance weighs in the
# sample's score, ``(repeats, n)``, 0 where it is not held. The score is the mean of outcomes by these weights.
Weighing = Callable[[NDArray[Any]], NDArray[Any]]


def weigh_alike(counts: NDArray[Any]) -> NDArray[Any]:
    """Weigh every utterance the same: the score of which utterances are right is the accuracy.

    Args:
        counts: ``(repeats, n)``, how often each sample holds each utterance.

    >>> weigh_alike(np.array([[2, 0, 1]])).tolist()
    [[2, 0, 1]]
    """
    return counts


def score_outcomes(outcomes: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return the means of outcomes by weights, over the last axis of both; of right and wrong, in 0..1."""
    means = np.asarray(np.einsum("...i,...i->...", outcomes, weights) / weights.sum(axis=-1))
    return np.clip(means, 0, 1) if outcomes.dtype == np.bool_ else means


def weigh_classes_alike(truth: ArrayLike) -> Weighing:
    """Weigh every class that a sample holds the same: the score of which are right is the balanced accuracy.

    Args:
        truth: ``(n,)`` class indices.

    Raises:
        MetricError: if these are no class indices.

    >>> weigh_classes_alike([0, 0, 0, 1])(np.array([[1, 1, 0, 1]])).tolist()
    [[0.5, 0.5, 0.0, 1.0]]
    """
    classes, numbers = np.unique(check_truth(truth), return_inverse=True)
    is_of_class = (numbers[:, None] == np.arange(len(classes))).astype(np.float64)

    def weigh(counts: NDArray[Any]) -> NDArray[np.float64]:
        supports = counts @ is_of_class
        shares = np.zeros(supports.shape)
        np.divide(1.0, supports, out=shares, where=supports > 0)
        return np.asarray(counts * shares[:, numbers])

    return weigh
