"""One weight for each member, fitted by log-loss, and the weighted sum of scores."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fit_weights(scores: NDArray[np.float64], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the weights, none below 0, by which the softmax of the weighted sum of scores has the least log-loss.

    What is stacked by Breiman (Stacked regressions, Machine Learning 24, 1996) with weights that are not negative, here
    for classes; a single member's weight is its inverse temperature (Guo et al., On calibration of modern neural
    networks, ICML 2017).

    Args:
        scores: ``(m, n, c)`` of each member, of utterances that it was not fitted on.
        labels: ``(n,)`` class indices.

    Returns:
        ``(m,)``.

    >>> told = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]))
    >>> weights = fit_weights(np.stack([told, -told]), np.array([0, 0, 1, 1]))
    >>> bool(weights[0] > 0.5), float(weights[1])
    (True, 0.0)
    """
    from scipy.optimize import minimize

    rows = np.arange(len(labels))

    def compute_loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total = np.tensordot(weights, scores, 1)
        total -= total.max(axis=1, keepdims=True)
        probabilities = np.exp(total)
        sums = probabilities.sum(axis=1, keepdims=True)
        loss = float((np.log(sums[:, 0]) - total[rows, labels]).mean())
        probabilities /= sums
        probabilities[rows, labels] -= 1
        return loss, np.tensordot(scores, probabilities, ([1, 2], [0, 1])) / len(labels)

    start = np.full(len(scores), 1 / len(scores))
    with _find_thread_pools().limit(limits=1):
        found = minimize(compute_loss, start, jac=True, bounds=[(0, None)] * len(scores), method="L-BFGS-B")
    weights: NDArray[np.float64] = found.x
    return weights


@cache
def _find_thread_pools() -> Any:
    """Look once for the libraries whose threads are limited, when scipy's are loaded: it takes as long as a fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def sum_weighted(
    scores: Sequence[NDArray[np.floating]] | NDArray[np.floating], weights: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weighted sum of the members' scores as log-probabilities, ``(n, c)`` float64.

    Args:
        scores: ``(n, c)`` of each of m members.
        weights: ``(m,)``.

    >>> sum_weighted(np.log([[[0.9, 0.1]], [[0.5, 0.5]]]), [1.0, 1.0]).round(3).tolist()
    [[-0.105, -2.303]]
    """
    total = np.zeros(scores[0].shape)
    for own, weight in zip(scores, weights, strict=True):
        total += weight * own
    total -= total.max(axis=1, keepdims=True)
    return np.asarray(total - np.log(np.exp(total).sum(axis=1, keepdims=True)))
