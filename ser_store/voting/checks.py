"""Checks of the arrays that are voted on: every complaint is one line."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import EnsembleError
from ser_store.metrics import softmax
from ser_store.voting.quantize import Logits, quantize_logits, quantize_logs, quantize_probabilities

Tie = Literal["lowest", "confidence", "best", "abstain"]
TIES = get_args(Tie)
# A member's answer that is none of the classes.
UNANSWERED = -1
# What an ensemble decides is told in 16 bits.
MAX_CLASSES = 2**15

# Members, and utterances of each, that a complaint names.
_SHOWN = 3


def check_votes(votes: ArrayLike, n_classes: int, *, kind: str = "votes") -> NDArray[np.intp]:
    """Return class indices ``(k, n)`` as the type that numpy indexes with.

    Raises:
        EnsembleError: if they have another shape or type, or leave ``0..n_classes-1``.

    >>> check_votes([[0, 1], [1, 1]], 2).shape
    (2, 2)
    """
    ballots = np.asarray(votes)
    if not 2 <= n_classes <= MAX_CLASSES:
        raise EnsembleError(f"n_classes is {n_classes}: expected 2 to {MAX_CLASSES} classes to vote on")
    if ballots.ndim != 2 or 0 in ballots.shape or not np.issubdtype(ballots.dtype, np.integer):
        raise EnsembleError(
            f"{kind} are {ballots.dtype} of shape {ballots.shape}: expected integers of shape (members, utterances)"
        )
    if ballots.min() < 0:
        raise EnsembleError(describe_missing(ballots < 0, kind=kind))
    if ballots.max() >= n_classes:
        outside = ballots >= n_classes
        member, utterance = np.argwhere(outside)[0]
        raise EnsembleError(
            f"{kind} leave 0..{n_classes - 1} in {np.count_nonzero(outside)} places, the first is "
            f"{ballots[member, utterance]} of member {member} for utterance {utterance}: expected class indices"
        )
    return ballots.astype(np.intp, copy=False)


def count_unanswered(predicted: NDArray[np.int16], n_classes: int) -> tuple[NDArray[np.int16], int]:
    """Return predictions as votes, and the number of classes: an answer of -1, none of the classes, is one class more.

    Args:
        predicted: ``(m, n)`` class indices, or -1.

    >>> count_unanswered(np.array([[0, -1]], dtype=np.int16), 2)
    (array([[0, 2]], dtype=int16), 3)
    """
    outside = predicted == UNANSWERED
    if not outside.any():
        return predicted, n_classes
    return np.where(outside, n_classes, predicted).astype(np.int16), n_classes + 1


def describe_missing(missing: NDArray[np.bool_], *, kind: str) -> str:
    """Return a line on what is missing: which members, rows of ``(k, n)``, lack it for which utterances.

    Args:
        missing: ``(k, n)`` bool.
        kind: what is missing.

    >>> describe_missing(np.array([[False, True, False], [False, False, False]]), kind="votes")
    'votes are missing: member 0 lacks 1 (utterance 1); expected one of every member for each of 3 utterances; leave \
out those members or utterances'
    """
    lacking = np.flatnonzero(missing.any(axis=1))
    named = []
    for member in lacking[:_SHOWN]:
        utterances = np.flatnonzero(missing[member])
        first = ", ".join(map(str, utterances[:_SHOWN]))
        more = ", …" if len(utterances) > _SHOWN else ""
        noun = "utterance" if len(utterances) == 1 else "utterances"
        named.append(f"member {member} lacks {len(utterances)} ({noun} {first}{more})")
    rest = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    return (
        f"{kind} are missing: {', '.join(named)}{rest}; expected one of every member for each of {missing.shape[1]} "
        "utterances; leave out those members or utterances"
    )


def take_steps(
    probabilities: "ArrayLike | Logits | None", shape: tuple[int, ...], *, rule: str, needed_by: str
) -> NDArray[np.int64]:
    """Return what members give each class in whole numbers, int64 of ``shape``.

    Args:
        probabilities: in 0..1, or :class:`~ser_store.voting.quantize.Logits`, all finite.
        shape: ``(k, n, c)`` that is expected.
        rule: the voting rule; ``soft-log`` adds up logarithms.
        needed_by: what a complaint says needs them.

    Raises:
        EnsembleError: if there are none, or they have another shape, leave their range or are not finite.

    >>> take_steps([[[0.25, 0.75]]], (1, 1, 2), rule="soft", needed_by="rule").tolist()
    [[[250000000000, 750000000000]]]
    """
    if probabilities is None:
        raise EnsembleError(
            f"this {needed_by} needs probabilities: expected an array of shape {shape}; members imported as class "
            "names have none"
        )
    kind = "logits" if isinstance(probabilities, Logits) else "probabilities"
    given = np.asarray(probabilities.values if isinstance(probabilities, Logits) else probabilities)
    if given.shape != shape or 0 in shape:
        raise EnsembleError(f"{kind} have shape {given.shape}: expected {shape}, (members, utterances, classes)")
    if not np.issubdtype(given.dtype, np.floating):
        given = given.astype(np.float64)
    if np.isnan(given.min()):
        raise EnsembleError(describe_missing(np.isnan(given).any(axis=2), kind=kind))
    if kind == "logits":
        if not np.isfinite(given).all():
            raise EnsembleError(f"logits range from {given.min()} to {given.max()}: expected finite numbers")
        return quantize_logits(given) if rule == "soft-log" else quantize_probabilities(softmax(given))
    # Softmax in float32 may exceed 1 by a rounding.
    if not (given.min() >= 0 and given.max() <= 1.0001):
        raise EnsembleError(
            f"probabilities range from {given.min()} to {given.max()}: expected 0..1; `softmax` makes them of logits"
        )
    return quantize_logs(given) if rule == "soft-log" else quantize_probabilities(given)


def check_accuracies(accuracies: ArrayLike | None, k: int) -> NDArray[np.float64]:
    """Return the accuracies of k members as float64 ``(k,)``, or raise EnsembleError where one is missing."""
    if accuracies is None:
        raise EnsembleError(f"tie rule 'best' needs the members' accuracies: expected an array of shape ({k},)")
    merits = np.asarray(accuracies, dtype=np.float64)
    if merits.shape != (k,) or np.isnan(merits).any():
        raise EnsembleError(f"accuracies are {merits.tolist()}: expected {k} numbers, one per member")
    return merits


def check_weights(weights: ArrayLike, k: int) -> NDArray[Any]:
    """Return the weights of k members, ``(k,)``; raise EnsembleError if one is negative or not finite, or all are 0."""
    given = np.asarray(weights)
    if given.shape != (k,):
        raise EnsembleError(f"weights have shape {given.shape}: expected ({k},), one per member")
    if given.dtype == np.bool_:
        given = given.astype(np.int64)
    sizes = given.astype(np.float64)
    if not (np.isfinite(sizes).all() and sizes.min() >= 0 and sizes.max() > 0):
        raise EnsembleError(
            f"weights range from {sizes.min()} to {sizes.max()}: expected finite numbers from 0 on, not all of them 0"
        )
    return given
