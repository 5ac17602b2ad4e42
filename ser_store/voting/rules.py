"""What k members decide together: the definitions of the voting rules and of their tie rules.

All rules are independent of the order of the members, save where it is said that the earlier member decides. Sums are
exact, so that equal ones are ties; weights count in the proportions in which they are written, whoever else there is.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.common.checks import check_choice
from ser_store.errors import EnsembleError
from ser_store.voting.checks import TIES, Tie, check_accuracies, check_votes, check_weights, take_steps
from ser_store.voting.quantize import MAX_SUM, Logits, count_weights

ABSTAINED = -1
Rule = Literal["hard", "soft", "soft-log"]
RULES = get_args(Rule)


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
    tie: Tie = "lowest",
    probabilities: ArrayLike | Logits | None = None,
    accuracies: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Votes:
    """Return the class that most members vote for; with ``weights``, the class whose voters weigh most in sum.

    Where several classes are at the top, ``tie`` decides:

    - ``lowest``: the tied class of the lowest index (what ``mode`` does in data-frame libraries).
    - ``confidence``: the tied class with the highest sum of probabilities, times weights, over all k members; of equal
      sums the lowest class. Probabilities count in steps of 10**-12.
    - ``best``: the member of the highest accuracy decides if it voted for a tied class, else the next best member,
      and so on; of equally accurate members the earlier is the better.
    - ``abstain``: none, -1.

    Weights count in their exact proportions, whoever else there is: 0.1, 0.1 and 0.2 are 1, 1 and 2. Floats are the
    fraction that they stand for, such as an accuracy of 59/72, if its denominator is at most 100,000; else decimals of
    twelve digits. Where a search comes upon members that all weigh 0, all classes are tied.

    Args:
        votes: ``(k, n)`` class indices in ``0..n_classes-1``, one row per member.
        n_classes: number of classes, ``c``.
        tie: one of the above.
        probabilities: ``(k, n, c)`` in 0..1, or :class:`Logits`; needed by ``confidence``.
        accuracies: ``(k,)``; needed by ``best``.
        weights: ``(k,)`` numbers or fractions, none negative and not all 0. Default: all alike.

    Raises:
        EnsembleError: if the arrays do not fit each other, leave their ranges, or one that is needed is missing.
        UnknownNameError: if there is no such tie rule.

    >>> hard_vote([[2, 0], [1, 0], [2, 1]], n_classes=3).predicted.tolist()
    [2, 0]
    >>> hard_vote([[2, 0], [1, 0], [2, 1]], n_classes=3, weights=[1, 3, 1]).predicted.tolist()
    [1, 0]
    """
    check_choice("tie rule", tie, TIES)
    ballots = check_votes(votes, n_classes)
    k, n = ballots.shape
    steps = None
    if tie == "confidence":
        steps = take_steps(probabilities, (k, n, n_classes), rule="hard", needed_by="tie rule")
    weighed = _weigh(weights, k, steps)
    if steps is not None:
        steps = steps * weighed[:, None, None]
    merits = check_accuracies(accuracies, k)[:, None] if tie == "best" else None
    return decide(ballots, n_classes=n_classes, tie=tie, steps=steps, accuracies=merits, weights=weighed[:, None])


def soft_vote(probabilities: ArrayLike | Logits, *, weights: ArrayLike | None = None) -> Votes:
    """Return the class with the highest mean probability over the members; of equal means the lowest class.

    With ``weights``, which count as in :func:`hard_vote`, the class with the highest sum of weight times probability.
    Probabilities count in steps of 10**-12, so that equal means are found equal whatever the order of the members.

    Args:
        probabilities: ``(k, n, c)`` in 0..1, one row of utterances per member; or :class:`Logits`.
        weights: ``(k,)`` numbers or fractions, none negative and not all 0. Default: all alike.

    Raises:
        EnsembleError: if an array has another shape or leaves its range.

    >>> soft_vote([[[0.5, 0.5], [0.9, 0.1]], [[0.25, 0.75], [0.2, 0.8]]]).predicted.tolist()
    [1, 0]
    """
    return _vote_by_sums(probabilities, weights, "soft")


def soft_log_vote(probabilities: ArrayLike | Logits, *, weights: ArrayLike | None = None) -> Votes:
    """Return the class with the highest mean log-probability over the members; of equals the lowest class.

    With ``weights``, which count as in :func:`hard_vote`, the class with the highest sum of weight times
    log-probability. Probabilities below 2**-32 count as if they were that, so that no single member has a veto.

    Logits differ from log-probabilities by what all classes of an utterance share, so that of :class:`Logits` it is the
    class with the highest sum of logits. They count in steps of 2**-40, of which all in float32 from 2**-17 on are
    whole numbers: their sums are exact. Binary logarithms of probabilities count in steps of 2**-35.

    Args:
        probabilities: ``(k, n, c)`` in 0..1, one row of utterances per member; or :class:`Logits`.
        weights: ``(k,)`` numbers or fractions, none negative and not all 0. Default: all alike.

    Raises:
        EnsembleError: if an array has another shape or leaves its range.

    >>> soft_log_vote([[[0.5, 0.5], [0.9, 0.1]], [[0.25, 0.75], [0.02, 0.98]]]).predicted.tolist()
    [1, 1]
    >>> soft_log_vote(Logits(np.array([[[3.0, 1.0, 0.0]], [[0.0, 2.0, 1.0]]]))).tied.tolist()
    [True]
    """
    return _vote_by_sums(probabilities, weights, "soft-log")


def _vote_by_sums(probabilities: ArrayLike | Logits, weights: ArrayLike | None, rule: str) -> Votes:
    shape = np.shape(probabilities.values if isinstance(probabilities, Logits) else probabilities)
    if len(shape) != 3 or 0 in shape:
        raise EnsembleError(f"probabilities have shape {shape}: expected (k, n, n_classes), none of them 0")
    steps = take_steps(probabilities, shape, rule=rule, needed_by="rule")
    return decide_by_sums(steps * _weigh(weights, shape[0], steps)[:, None, None])


def _weigh(weights: ArrayLike | None, k: int, steps: NDArray[np.int64] | None) -> NDArray[Any]:
    """Return the weights of k members as whole numbers, ``(k,)``, of a type that holds their sums times ``steps``."""
    if weights is None:
        return np.ones(k, dtype=np.int64)
    whole = count_weights(check_weights(weights, k))
    return whole if k * find_most(whole, steps) < MAX_SUM else whole.astype(object)


def find_most(weights: NDArray[Any] | None, steps: NDArray[np.int64] | None) -> int:
    """Return the most that a member may give a class: the largest weight, times steps where it gives these."""
    return (1 if weights is None else int(weights.max())) * (1 if steps is None else int(np.abs(steps).max()))


def decide_by_sums(steps: NDArray[Any]) -> Votes:
    """Return the classes with the highest sums of what members give each class in whole numbers, ``(k, n, c)``."""
    sums = steps.sum(axis=0)
    at_top = sums == sums.max(axis=1, keepdims=True)
    return Votes(predicted=at_top.argmax(axis=1).astype(np.int16), tied=at_top.sum(axis=1) > 1)


def decide(
    ballots: NDArray[np.intp],
    *,
    n_classes: int,
    tie: str,
    steps: NDArray[Any] | None,
    accuracies: NDArray[np.float64] | None,
    weights: NDArray[Any],
) -> Votes:
    """Return the votes of :func:`hard_vote` on checked arrays.

    Args:
        ballots: ``(k, n)`` class indices.
        steps: ``(k, n, c)``, probabilities in whole numbers times weights; needed by ``confidence``.
        accuracies: ``(k, n)`` or ``(k, 1)``; needed by ``best``.
        weights: ``(k, n)`` or ``(k, 1)`` whole numbers.
    """
    n = ballots.shape[1]
    counts = np.zeros((n, n_classes), dtype=weights.dtype)
    np.add.at(counts, (np.arange(n), ballots), weights)
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
    """Return for every utterance the vote of the most accurate member among those who voted for a class at the top."""
    supports_top = np.take_along_axis(at_top, ballots.T, axis=1).T
    merit = np.where(supports_top, accuracies, -np.inf)
    decider = merit.argmax(axis=0)
    predicted: NDArray[np.intp] = np.take_along_axis(ballots, decider[None, :], axis=0)[0]
    return predicted
