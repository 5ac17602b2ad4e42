"""Metrics of probabilities: how good what a member gives each class is, not only which class it puts first.

All take logits, ``(n, c)``, of which :func:`softmax` makes the probabilities.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError
from ser_store.metrics.class_indices import Indices, check_range, check_truth

# Equal-width bins of the calibration error, as in Guo et al.
N_BINS = 15


@dataclass(frozen=True)
class ProbabilityScores:
    """How good a member's probabilities are.

    Attributes:
        top2: share of utterances whose true class is among the two most probable ones, in 0..1.
        log_loss: mean cross-entropy in nats, 0 or greater.
        brier: Brier's score, in 0..2.
        ece: expected calibration error, in 0..1.
    """

    top2: float
    log_loss: float
    brier: float
    ece: float


@dataclass(frozen=True, eq=False)
class Reliability:
    """What a member says it knows against what it knows, by how sure it is.

    Attributes:
        n: ``(b,)`` int64, utterances whose confidence falls into each bin.
        confidence: ``(b,)``, their mean confidence; NaN where there are none.
        accuracy: ``(b,)``, the share of them that is predicted right; NaN where there are none.
    """

    n: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def describe_probabilities(scores: ProbabilityScores | None) -> dict[str, float | None]:
    """Return the scores by name, as JSON documents have them; None for each where the member holds labels only."""
    return dict.fromkeys(("top2", "log_loss", "brier", "ece")) if scores is None else vars(scores)


def log_softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Return natural logarithms of the probabilities, ``(..., c)`` float64, stable for logits of any size.

    Args:
        logits: ``(..., c)``, finite.

    Raises:
        MetricError: if a logit is not finite, or there are none.

    >>> log_softmax([[0.0, 0.0]]).round(3).tolist()
    [[-0.693, -0.693]]
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim == 0 or scores.size == 0:
        raise MetricError(f"logits have shape {scores.shape}: expected (n, n_classes), at least one of each")
    _check_finite(scores)
    shifted = scores - scores.max(axis=-1, keepdims=True)
    # In order, so that the sum does not depend on which class has which logit: equal means of probabilities stay equal.
    log_sum = np.log(np.sort(np.exp(shifted), axis=-1).sum(axis=-1, keepdims=True))
    log_probabilities: NDArray[np.float64] = shifted - log_sum
    return log_probabilities


def softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Return probabilities in 0..1, ``(..., c)`` float64, which sum to 1 over the last axis.

    Raises:
        MetricError: as :func:`log_softmax`.

    >>> softmax([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """
    probabilities: NDArray[np.float64] = np.exp(log_softmax(logits))
    return probabilities


def compute_log_loss(truth: ArrayLike, logits: ArrayLike) -> float:
    """Return mean cross-entropy in nats, 0 or greater: ``-mean(log_softmax(logits)[i, truth[i]])``.

    Args:
        truth: ``(n,)`` class indices.
        logits: ``(n, c)``, finite.

    Raises:
        MetricError: if the arrays are empty, do not fit each other or hold what is not finite.

    >>> round(compute_log_loss([0, 1], [[0.0, 0.0], [0.0, 0.0]]), 3)
    0.693
    """
    true, scores = _check(truth, logits)
    return float(_find_losses(true, scores).mean())


def compute_calibration_error(truth: ArrayLike, logits: ArrayLike, *, n_bins: int = N_BINS) -> float:
    """Return the expected calibration error (ECE), in 0..1: the mean distance of confidence from accuracy.

    The confidence is the probability of the predicted class, of equal ones the lowest. It falls into one of
    ``n_bins`` bins of equal width, ``((b-1)/n_bins, b/n_bins]``; each bin weighs as much as it holds utterances::

        sum_b (n_b / n) |accuracy_b - confidence_b|

    Source: M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
    binning", AAAI 2015; in this form, with 15 bins, C. Guo et al., "On calibration of modern neural networks", ICML
    2017. Few utterances make it too high: a bin's accuracy scatters around its confidence by chance as well.

    Args:
        truth: ``(n,)`` class indices.
        logits: ``(n, c)``, finite.
        n_bins: 1 or more.

    Raises:
        MetricError: if the arrays do not fit each other, hold what is not finite, or ``n_bins`` is below 1.

    >>> compute_calibration_error([0, 1], [[0.0, 0.0], [0.0, 0.0]])
    0.0
    """
    right, confidence, bins = _bin_confidence(truth, logits, n_bins)
    excess = np.bincount(bins, weights=right - confidence, minlength=n_bins)
    return float(np.abs(excess).sum() / len(right))


def compute_reliability(truth: ArrayLike, logits: ArrayLike, *, n_bins: int = N_BINS) -> Reliability:
    """Return accuracy and mean confidence in each bin of the calibration error, for a reliability diagram.

    Args:
        truth: ``(n,)`` class indices.
        logits: ``(n, c)``, finite.
        n_bins: 1 or more, as for :func:`compute_calibration_error`.

    Raises:
        MetricError: as :func:`compute_calibration_error`.

    >>> found = compute_reliability([0, 1], [[0.0, 0.0], [0.0, 0.0]], n_bins=2)
    >>> found.n.tolist(), found.accuracy[0]
    ([2, 0], np.float64(0.5))
    """
    right, confidence, bins = _bin_confidence(truth, logits, n_bins)
    n = np.bincount(bins, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, weights=values, minlength=n_bins) / n for values in (confidence, right)]
    return Reliability(n.astype(np.int64), *means)


def _bin_confidence(
    truth: ArrayLike, logits: ArrayLike, n_bins: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.intp]]:
    """Return which utterances are right, how sure they are, and the bin of that, each ``(n,)``."""
    if n_bins < 1:
        raise MetricError(f"n_bins is {n_bins}: expected at least 1")
    true, scores = _check(truth, logits)
    confidence = softmax(scores).max(axis=1)
    bins = np.clip(np.ceil(confidence * n_bins).astype(np.intp) - 1, 0, n_bins - 1)
    return scores.argmax(axis=1) == true, confidence, bins


def evaluate_logits(truth: ArrayLike, logits: ArrayLike) -> ProbabilityScores:
    """Return all the figures of a member's probabilities.

    Args:
        truth: ``(n,)`` class indices.
        logits: ``(n, c)``, finite; two classes or more.

    Raises:
        MetricError: if the arrays are empty, do not fit each other or hold what is not finite.

    >>> scores = evaluate_logits([0, 1], [[2.0, 0.0], [2.0, 0.0]])
    >>> scores.top2, round(scores.log_loss, 3)
    (1.0, 1.127)
    """
    means = {name: float(scores.mean()) for name, scores in score_utterances(truth, logits).items()}
    return ProbabilityScores(**means, ece=compute_calibration_error(truth, logits))


def score_utterances(truth: ArrayLike, logits: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Return what every utterance contributes to the figures that are means over utterances, each ``(n,)`` float64.

    ``top2`` (0 or 1: whether the true class is among the two with the highest logits; of equal logits the lowest class
    comes first, while scikit-learn takes the highest), ``log_loss`` and ``brier``. The calibration error is no such
    mean.

    Brier's score, in 0..2, is ``sum_j (p[j] - y[j])²`` with ``y`` 1 for the true class and 0 for the others. This is
    Brier's own definition; of two classes it is twice the score of the positive class, which goes by the same name.

    Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78,
    1950.

    Args:
        truth: ``(n,)`` class indices.
        logits: ``(n, c)``, finite; two classes or more.

    Raises:
        MetricError: if the arrays are empty, do not fit each other or hold what is not finite.

    >>> score_utterances([0, 1], [[0.0, 0.0], [0.0, 0.0]])["brier"].tolist()
    [0.5, 0.5]
    """
    true, scores = _check(truth, logits)
    return {
        "top2": _find_top2(true, scores).astype(np.float64),
        "log_loss": _find_losses(true, scores),
        "brier": _find_distances(true, scores),
    }


def _find_top2(true: Indices, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether at most one class comes before the true one, ``(n,)``."""
    own = np.take_along_axis(scores, true[:, None], axis=1)
    before = (scores > own) | ((scores == own) & (np.arange(scores.shape[1]) < true[:, None]))
    return np.asarray(before.sum(axis=1) < 2)


def _find_losses(true: Indices, scores: NDArray[np.floating]) -> NDArray[np.float64]:
    # From 0, because minus 0 is printed as such.
    return 0 - np.take_along_axis(log_softmax(scores), true[:, None], axis=1)[:, 0]


def _find_distances(true: Indices, scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the squared distance of the probabilities from the truth, ``(n,)``."""
    distances = softmax(scores)
    distances[np.arange(len(true)), true] -= 1
    return np.asarray((distances * distances).sum(axis=1))


def _check(truth: ArrayLike, logits: ArrayLike) -> tuple[Indices, NDArray[np.floating]]:
    """Return truth and logits, checked to be finite and to fit each other."""
    scores = np.asarray(logits)
    true = check_truth(truth)
    if scores.ndim != 2 or len(scores) != len(true) or scores.shape[1] == 0:
        raise MetricError(f"logits have shape {scores.shape}: expected ({len(true)}, n_classes), a row per utterance")
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    check_range("truth", true, scores.shape[1], lowest=0)
    _check_finite(scores)
    return true, scores


def _check_finite(scores: NDArray[np.floating]) -> None:
    if not np.isfinite(scores).all():
        raise MetricError(
            f"{np.count_nonzero(~np.isfinite(scores))} of {scores.size} logits are not finite: expected finite "
            "numbers; check that training did not diverge"
        )
