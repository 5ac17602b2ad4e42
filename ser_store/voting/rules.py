"""What k members decide together: the definitions of the voting rules and of their tie rules.

All rules are independent of the order of the members, save where it is said that the earlier member decides.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import EnsembleError
from ser_store.voting.checks import (
    TIES,
    check_accuracies,
    check_probabilities,
    check_tie,
    check_votes,
    check_weights,
)
from ser_store.voting.steps import MAX_WEIGHTED, quantize_logs, quantize_probabilities, quantize_weights

__all__ = [
    "ABSTAINED",
    "RULES",
    "TIES",
    "Votes",
    "check_weighted_sum",
    "decide",
    "decide_by_sums",
    "hard_vote",
    "soft_log_vote",
    "soft_vote",
]

ABSTAINED = -1
RULES = ("hard", "soft", "soft-log")


@dataclass(frozen=True)
class Votes:
    """What an ensemble decides.

    Attributes:
        predicted: ``(n,)`` int16 class indices; -1 where the ensemble abstained.
        tied: ``(n,)`` bool, where more than one class was at the top and the tie rule decided.
    """

    predicted: NDArray[np.int16]
    tied: NDArray[np.bool_]


def hard_vote(
    votes: ArrayLike,
    *,
    n_classes: int,
    tie: str = "lowest",
    probabilities: ArrayLike | None = None,
    accuracies: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Votes:
    """Plurality: the class that most members vote for; with ``weights``, the class whose voters weigh most in sum.

    Where several classes are at the top, ``tie`` decides:

    - ``lowest``: the tied class of the lowest index (what ``mode`` does in data-frame libraries).
    - ``confidence``: the tied class with the highest sum of probabilities, times weights, over all k members; of equal
      sums the lowest class. Probabilities count in steps of 2**-40.
    - ``best``: the member of the highest accuracy decides if it voted for a tied class, else the next best member,
      and so on; of equally accurate members the earlier is the better.
    - ``abstain``: none, -1.

    Weights that are whole numbers up to 2**16 count as they are, all others in steps of 2**-16 of the largest. So that
    equal sums are ties, weigh by numbers of utterances rather than by accuracies. Where a search comes upon members
    that all weigh 0, all classes are tied.

    Args:
        votes: ``(k, n)`` class indices in ``0..n_classes-1``, one row per member.
        n_classes: number of classes, ``c``.
        tie: one of the above.
        probabilities: ``(k, n, c)`` in 0..1; needed by ``confidence``.
        accuracies: ``(k,)``; needed by ``best``.
        weights: ``(k,)``, none negative and not all 0. Default: all alike.

    Raises:
        EnsembleError: if the arrays do not fit each other, leave their ranges, or one that is needed is missing.
        UnknownNameError: if there is no such tie rule.

    >>> hard_vote([[2, 0], [1, 0], [2, 1]], n_classes=3).predicted.tolist()
    [2, 0]
    >>> hard_vote([[2, 0], [1, 0], [2, 1]], n_classes=3, weights=[1, 3, 1]).predicted.tolist()
    [1, 0]
    """
    check_tie(tie)
    ballots = check_votes(votes, n_classes)
    k, n = ballots.shape
    weighed = _weigh(weights, k)
    steps = None
    if tie == "confidence":
        check_weighted_sum(k, weights)
        given = check_probabilities(probabilities, (k, n, n_classes), needed_by="tie rule")
        steps = quantize_probabilities(given) * weighed[:, None, None]
    merits = check_accuracies(accuracies, k)[:, None] if tie == "best" else None
    return decide(ballots, n_classes=n_classes, tie=tie, steps=steps, accuracies=merits, weights=weighed[:, None])


def soft_vote(probabilities: ArrayLike, *, weights: ArrayLike | None = None) -> Votes:
    """Mean probability: the class with the highest mean over the members; of equal means the lowest class.

    With ``weights`` the class with the highest sum of weight times probability. Probabilities count in steps of
    2**-40 and weights as in :func:`hard_vote`, so that equal means are found equal whatever the order of the members.

    Args:
        probabilities: ``(k, n, c)`` in 0..1, one row of utterances per member.
        weights: ``(k,)``, none negative and not all 0. Default: all alike.

    Raises:
        EnsembleError: if an array has another shape or leaves its range; if more than 64 members are weighted.

    >>> soft_vote([[[0.5, 0.5], [0.9, 0.1]], [[0.25, 0.75], [0.2, 0.8]]]).predicted.tolist()
    [1, 0]
    """
    return _vote_by_sums(probabilities, weights, quantize_probabilities)


def soft_log_vote(probabilities: ArrayLike, *, weights: ArrayLike | None = None) -> Votes:
    """Mean log-probability: the class with the highest geometric mean over the members; of equals the lowest class.

    With ``weights`` the class with the highest sum of weight times log-probability. Probabilities below 2**-32 count
    as if they were that: who gives a class no chance has no veto. Binary logarithms count in steps of 2**-35 and
    weights as in :func:`hard_vote`.

    Args:
        probabilities: ``(k, n, c)`` in 0..1, one row of utterances per member.
        weights: ``(k,)``, none negative and not all 0. Default: all alike.

    Raises:
        EnsembleError: if an array has another shape or leaves its range; if more than 64 members are weighted.

    >>> soft_log_vote([[[0.5, 0.5], [0.9, 0.1]], [[0.25, 0.75], [0.02, 0.98]]]).predicted.tolist()
    [1, 1]
    """
    return _vote_by_sums(probabilities, weights, quantize_logs)


def _vote_by_sums(
    probabilities: ArrayLike,
    weights: ArrayLike | None,
    quantize: Callable[[NDArray[np.floating]], NDArray[np.int64]],
) -> Votes:
    shape = np.shape(probabilities)
    if len(shape) != 3 or 0 in shape:
        raise EnsembleError(f"probabilities have shape {shape}: expected (k, n, n_classes), none of them 0")
    weighed = _weigh(weights, shape[0])
    check_weighted_sum(shape[0], weights)
    steps = quantize(check_probabilities(probabilities, shape, needed_by="rule"))
    return decide_by_sums(steps * weighed[:, None, None])


def check_weighted_sum(k: int, weights: ArrayLike | None) -> None:
    """Raises EnsembleError if the probabilities of ``k`` members, times ``weights``, may leave 62 bits."""
    if weights is not None and k > MAX_WEIGHTED:
        raise EnsembleError(
            f"k is {k} in soft voting with weights: expected at most {MAX_WEIGHTED} members, whose sums are exact; "
            "leave out the weights or some members"
        )


def _weigh(weights: ArrayLike | None, k: int) -> NDArray[np.int64]:
    """Quantized weights of k members, ``(k,)``."""
    return np.ones(k, dtype=np.int64) if weights is None else quantize_weights(check_weights(weights, k))


def decide_by_sums(steps: NDArray[np.int64]) -> Votes:
    """Soft voting by what the members give each class in whole numbers, ``(k, n, c)``."""
    sums = steps.sum(axis=0)
    at_top = sums == sums.max(axis=1, keepdims=True)
    return Votes(predicted=at_top.argmax(axis=1).astype(np.int16), tied=at_top.sum(axis=1) > 1)


def decide(
    ballots: NDArray[np.intp],
    *,
    n_classes: int,
    tie: str,
    steps: NDArray[np.int64] | None,
    accuracies: NDArray[np.float64] | None,
    weights: NDArray[np.int64],
) -> Votes:
    """:func:`hard_vote` on checked arrays: ``(k, n)`` ballots, quantized probabilities ``(k, n, c)`` times weights,
    accuracies and quantized weights ``(k, n)`` or ``(k, 1)``."""
    n = ballots.shape[1]
    cells = ballots + np.arange(n) * n_classes
    # Sums of whole numbers, exact in float64: far below 2**53.
    weight_of_cell = np.broadcast_to(weights, ballots.shape).ravel()
    counts = np.bincount(cells.ravel(), weights=weight_of_cell, minlength=n * n_classes).reshape(n, n_classes)
    at_top = counts == counts.max(axis=1, keepdims=True)
    tied = at_top.sum(axis=1) > 1
    if tie == "confidence" and steps is not None:
        # Of what all k members give, nothing is negative.
        predicted = np.where(at_top, steps.sum(axis=0), -1).argmax(axis=1)
    elif tie == "best" and accuracies is not None:
        predicted = _follow_the_best(ballots, at_top, accuracies)
    else:
        predicted = at_top.argmax(axis=1)
    if tie == "abstain":
        predicted[tied] = ABSTAINED
    return Votes(predicted=predicted.astype(np.int16), tied=tied)


def _follow_the_best(
    ballots: NDArray[np.intp], at_top: NDArray[np.bool_], accuracies: NDArray[np.float64]
) -> NDArray[np.intp]:
    """For every utterance the vote of the most accurate member among those who voted for a class at the top."""
    supports_top = np.take_along_axis(at_top, ballots.T, axis=1).T
    merit = np.where(supports_top, accuracies, -np.inf)
    decider = merit.argmax(axis=0)
    predicted: NDArray[np.intp] = np.take_along_axis(ballots, decider[None, :], axis=0)[0]
    return predicted
