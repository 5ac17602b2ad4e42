"""What voters hand in, checked: every complaint is one line."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import EnsembleError, UnknownNameError, describe_unknown

TIES = ("lowest", "confidence", "best", "abstain")
# What an ensemble decides is told in 16 bits.
MAX_CLASSES = 2**15

# Members, and utterances of each, that a complaint names.
_SHOWN = 3


def check_tie(tie: str) -> None:
    """Raises UnknownNameError if there is no such tie rule."""
    if tie not in TIES:
        raise UnknownNameError(describe_unknown("tie rule", tie, TIES))


def check_votes(votes: ArrayLike, n_classes: int, *, kind: str = "votes") -> NDArray[np.intp]:
    """``(k, n)`` class indices, checked, as the type numpy indexes with."""
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


def describe_missing(missing: NDArray[np.bool_], *, kind: str) -> str:
    """One line on the members, rows of ``(k, n)``, for whom something is missing: which they are, and where.

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
    if np.isnan(given.min()):
        raise EnsembleError(describe_missing(np.isnan(given).any(axis=2), kind="probabilities"))
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


def check_weights(weights: ArrayLike, k: int) -> NDArray[np.float64]:
    """``weights`` of k members, finite, none negative and not all 0."""
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (k,):
        raise EnsembleError(f"weights have shape {given.shape}: expected ({k},), one per member")
    if not (np.isfinite(given).all() and given.min() >= 0 and given.max() > 0):
        raise EnsembleError(
            f"weights range from {given.min()} to {given.max()}: expected finite numbers from 0 on, not all of them 0"
        )
    return given
