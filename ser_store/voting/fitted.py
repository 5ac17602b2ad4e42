"""The fitted voting rules: one weight for each member, a regression on all that they say, a choice of members."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]
FittedRule = Literal["pool", "stack", "greedy-pool"]
FITTED_RULES = get_args(FittedRule)
# As heads by logistic regression have it.
_INVERSE_PENALTY, _MAX_ITERATIONS = 0.1, 2000


@dataclass(frozen=True, eq=False)
class Pool:
    """The weighted sum of the members' log-probabilities."""

    weights: NDArray[np.float64]

    def combine(self, scores: Scores) -> Scores:
        return sum_weighted(scores, self.weights)


@dataclass(frozen=True, eq=False)
class Stack:
    """A logistic regression on the members' log-probabilities, all side by side."""

    model: Any
    weights: None = None

    def combine(self, scores: Scores) -> Scores:
        probabilities = self.model.predict_proba(_lay_side_by_side(scores))
        return np.asarray(np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)))


# What was fitted: one weight of 0 or more for each member, or None, and what combines what they say of any utterances.
Combination = Pool | Stack
Fit = Callable[[Scores, Labels, NDArray[np.intp]], Combination]


def fit_pool(scores: Scores, labels: Labels, groups: NDArray[np.intp]) -> Pool:
    """Fit one weight for each member; see :func:`~ser_store.voting.fitted.fit_weights`.

    Args:
        scores: ``(m, n, c)`` log-probabilities, or whatever has the same softmax.
        labels: ``(n,)`` class indices.
        groups: ``(n,)``, of the utterances; a single fit of all does not look at them.
    """
    return Pool(fit_weights(scores, labels))


def fit_stack(scores: Scores, labels: Labels, groups: NDArray[np.intp]) -> Stack:
    """Fit a logistic regression, penalised as that of a head, on the standardised log-probabilities of all members.

    Args:
        scores: ``(m, n, c)`` log-probabilities.
        labels: ``(n,)`` class indices; each class occurs.
        groups: ``(n,)``, not looked at.

    Source: Wolpert, "Stacked generalization", Neural Networks 5, 1992.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    regression = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_MAX_ITERATIONS)
    with threadpool_limits(1):
        return Stack(make_pipeline(StandardScaler(), regression).fit(_lay_side_by_side(scores), labels))


def fit_greedy_pool(scores: Scores, labels: Labels, groups: NDArray[np.intp]) -> Pool:
    """Choose members one after the other, and fit one weight for each of them; the others have the weight 0.

    Added is the member that, beside the pool so far, takes most from the log-loss. This goes on while the log-loss on
    groups left out in turn, by weights fitted on the others, falls. Forward selection as of Caruana et al. ("Ensemble
    selection from libraries of models", ICML 2004), with fitted weights in place of repetitions.

    Args:
        scores: ``(m, n, c)`` log-probabilities.
        labels: ``(n,)`` class indices.
        groups: ``(n,)`` of the utterances, two different ones at least.

    >>> told = np.log(np.array([[0.8, 0.2], [0.7, 0.3], [0.3, 0.7], [0.6, 0.4]] * 2))
    >>> says_nothing = np.full((8, 2), np.log(0.5))
    >>> pool = fit_greedy_pool(np.stack([says_nothing, told]), np.array([0, 0, 1, 1] * 2), np.arange(8) // 4)
    >>> float(pool.weights[0]), bool(pool.weights[1] > 1)
    (0.0, True)
    """
    chosen: list[int] = []
    least, left = np.inf, list(range(len(scores)))
    pooled = np.zeros((0, *scores.shape[1:]))
    while left:
        best = min(left, key=lambda one: _fit_loss(np.concatenate([pooled, scores[[one]]]), labels))
        tried = [*chosen, best]
        loss = compute_loss(cross_fit(fit_pool, scores[tried], labels, groups)[0], labels)
        if loss >= least:
            break
        chosen, least = tried, loss
        left.remove(best)
        pooled = fit_pool(scores[chosen], labels, groups).combine(scores[chosen])[None]
    weights = np.zeros(len(scores))
    weights[chosen] = fit_weights(scores[chosen], labels)
    return Pool(weights)


FITS: dict[FittedRule, Fit] = {"pool": fit_pool, "stack": fit_stack, "greedy-pool": fit_greedy_pool}


def cross_fit(
    fit: Fit, scores: Scores, labels: Labels, groups: NDArray[np.intp]
) -> tuple[Scores, tuple[Combination, ...]]:
    """Return what is said of each utterance by a combination that was fitted without its group, and all of these.

    Args:
        scores: ``(m, n, c)`` log-probabilities.
        labels: ``(n,)`` class indices.
        groups: ``(n,)`` numbers, two different ones at least.

    Returns:
        ``(n, c)`` log-probabilities, and a combination for each group, by its number.

    >>> told = np.log(np.array([[[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]]))
    >>> said, fits = cross_fit(fit_pool, told, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
    >>> said.shape, [bool(one.weights[0] > 1) for one in fits]
    ((4, 2), [True, True])
    """
    said, fits = np.empty(scores.shape[1:]), []
    for group in np.unique(groups):
        out = groups == group
        fits.append(fit(scores[:, ~out], labels[~out], groups[~out]))
        said[out] = fits[-1].combine(scores[:, out])
    return said, tuple(fits)


def compute_loss(said: Scores, labels: Labels) -> float:
    """Return the mean log-loss of log-probabilities, ``(n, c)``, in nats."""
    return float(-said[np.arange(len(labels)), labels].mean())


def _fit_loss(scores: Scores, labels: Labels) -> float:
    return compute_loss(sum_weighted(scores, fit_weights(scores, labels)), labels)


def _lay_side_by_side(scores: Scores) -> NDArray[np.float64]:
    """Return ``(n, m * c)`` features."""
    m, n, c = scores.shape
    return scores.transpose(1, 0, 2).reshape(n, m * c)


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
