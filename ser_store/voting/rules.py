"""What k members decide together: the definitions of the voting rules and of their tie rules.

All rules are independent of the order of the members, save where it is said that the earlier member decides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import EnsembleError, UnknownNameError, describe_unknown

ABSTAINED = -1
RULES = ("hard", "soft")
TIES = ("lowest", "confidence", "best", "abstain")

# Probabilities count in steps of 2**-48, finer than float32 resolves: sums of integers do not depend on the order of
# the members, as sums of floats do, so that equal means are equal.
_STEPS = 2.0**48


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
) -> Votes:
    """Plurality: the class that most members vote for. Where several classes have most votes, ``tie`` decides:

    - ``lowest``: the tied class of the lowest index (what ``mode`` does in data-frame libraries).
    - ``confidence``: the tied class with the highest sum of probabilities over all k members; of equal sums the
      lowest class. Probabilities count in steps of 2**-48.
    - ``best``: the member of the highest accuracy decides if it voted for a tied class, else the next best member,
      and so on; of equally accurate members the earlier is the better.
    - ``abstain``: none, -1.

    Args:
        votes: ``(k, n)`` class indices in ``0..n_classes-1``, one row per member.
        n_classes: number of classes, ``c``.
        tie: one of the above.
        probabilities: ``(k, n, c)`` in 0..1; needed by ``confidence``.
        accuracies: ``(k,)``; needed by ``best``.

    Raises:
        EnsembleError: if the arrays do not fit each other, leave their ranges, or one that is needed is missing.
        UnknownNameError: if there is no such tie rule.

    >>> hard_vote([[2, 0], [1, 0], [2, 1]], n_classes=3).predicted.tolist()
    [2, 0]
    """
    check_tie(tie)
    ballots = check_votes(votes, n_classes)
    k, n = ballots.shape
    steps = None
    if tie == "confidence":
        steps = quantize_probabilities(check_probabilities(probabilities, (k, n, n_classes), needed_by="tie rule"))
    merits = check_accuracies(accuracies, k)[:, None] if tie == "best" else None
    return decide(ballots, n_classes=n_classes, tie=tie, steps=steps, accuracies=merits)


def soft_vote(probabilities: ArrayLike) -> Votes:
    """Mean probability: the class with the highest mean over the members; of equal means the lowest class.

    Probabilities count in steps of 2**-48, so that equal means are found equal whatever the order of the members.

    Args:
        probabilities: ``(k, n, c)`` in 0..1, one row of utterances per member.

    Raises:
        EnsembleError: if the array has another shape or leaves the range.

    >>> soft_vote([[[0.5, 0.5], [0.9, 0.1]], [[0.25, 0.75], [0.2, 0.8]]]).predicted.tolist()
    [1, 0]
    """
    shape = np.shape(probabilities)
    if len(shape) != 3 or 0 in shape:
        raise EnsembleError(f"probabilities have shape {shape}: expected (k, n, n_classes), none of them 0")
    sums = quantize_probabilities(check_probabilities(probabilities, shape, needed_by="rule")).sum(axis=0)
    at_top = sums == sums.max(axis=1, keepdims=True)
    return Votes(predicted=at_top.argmax(axis=1).astype(np.int16), tied=at_top.sum(axis=1) > 1)


def decide(
    ballots: NDArray[np.intp],
    *,
    n_classes: int,
    tie: str,
    steps: NDArray[np.int64] | None,
    accuracies: NDArray[np.float64] | None,
) -> Votes:
    """:func:`hard_vote` on checked arrays: ``(k, n)`` ballots, quantized probabilities ``(k, n, c)`` and accuracies
    ``(k, n)`` or ``(k, 1)``."""
    n = ballots.shape[1]
    cells = ballots + np.arange(n) * n_classes
    counts = np.bincount(cells.ravel(), minlength=n * n_classes).reshape(n, n_classes)
    at_top = counts == counts.max(axis=1, keepdims=True)
    tied = at_top.sum(axis=1) > 1
    if tie == "confidence" and steps is not None:
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


def quantize_probabilities(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Probabilities in steps of 2**-48, int64: sums of up to 2**14 of them are exact."""
    steps: NDArray[np.int64] = np.rint(probabilities.astype(np.float64) * _STEPS).astype(np.int64)
    return steps


def check_tie(tie: str) -> None:
    """Raises UnknownNameError if there is no such tie rule."""
    if tie not in TIES:
        raise UnknownNameError(describe_unknown("tie rule", tie, TIES))


def check_votes(votes: ArrayLike, n_classes: int, *, kind: str = "votes") -> NDArray[np.intp]:
    """``(k, n)`` class indices, checked, as the type numpy indexes with."""
    ballots = np.asarray(votes)
    if n_classes < 2:
        raise EnsembleError(f"n_classes is {n_classes}: expected at least 2 classes to vote on")
    if ballots.ndim != 2 or 0 in ballots.shape or not np.issubdtype(ballots.dtype, np.integer):
        raise EnsembleError(
            f"{kind} are {ballots.dtype} of shape {ballots.shape}: expected integers of shape (members, utterances)"
        )
    if ballots.min() < 0 or ballots.max() >= n_classes:
        outside = (ballots < 0) | (ballots >= n_classes)
        member, utterance = np.argwhere(outside)[0]
        raise EnsembleError(
            f"{kind} leave 0..{n_classes - 1} in {np.count_nonzero(outside)} places, the first is "
            f"{ballots[member, utterance]} of member {member} for utterance {utterance}: expected a class index "
            "everywhere; leave out the members or utterances without a prediction"
        )
    return ballots.astype(np.intp, copy=False)


def check_probabilities(
    probabilities: ArrayLike | None, shape: tuple[int, ...], *, needed_by: str
) -> NDArray[np.floating]:
    """``probabilities`` of this ``shape``, finite and in 0..1."""
    if probabilities is None:
        raise EnsembleError(
            f"this {needed_by} needs probabilities: expected an array of shape {shape}; members imported as class "
            "names have none"
        )
    given = np.asarray(probabilities)
    if given.shape != shape:
        raise EnsembleError(f"probabilities have shape {given.shape}: expected {shape}, (members, utterances, classes)")
    if not np.issubdtype(given.dtype, np.floating):
        given = given.astype(np.float64)
    # Softmax in float32 may exceed 1 by a rounding.
    if not (given.min() >= 0 and given.max() <= 1.0001):
        raise EnsembleError(
            f"probabilities range from {given.min()} to {given.max()}: expected 0..1; `softmax` makes them of logits"
        )
    return given


def check_accuracies(accuracies: ArrayLike | None, k: int) -> NDArray[np.float64]:
    """``accuracies`` of k members, not NaN."""
    if accuracies is None:
        raise EnsembleError(f"tie rule 'best' needs the members' accuracies: expected an array of shape ({k},)")
    merits = np.asarray(accuracies, dtype=np.float64)
    if merits.shape != (k,) or np.isnan(merits).any():
        raise EnsembleError(f"accuracies are {merits.tolist()}: expected {k} numbers, one per member")
    return merits
