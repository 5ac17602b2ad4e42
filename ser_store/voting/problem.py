"""What is searched: the members' predictions and the rule, checked once."""

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import EnsembleError, UnknownNameError, describe_unknown
from ser_store.voting.rules import (
    RULES,
    Votes,
    check_probabilities,
    check_tie,
    check_votes,
    hard_vote,
    soft_vote,
)

# Searches count their ensembles in 64 bits.
_MAX_ENSEMBLES = 2**62


@dataclass(frozen=True)
class Problem:
    """All k-subsets of m candidates on n utterances of c classes, and the rule they vote by.

    Attributes:
        predictions: ``(m, n)`` class indices.
        truth: ``(n,)`` class indices.
        k: members of an ensemble.
        n_classes: number of classes, ``c``.
        rule: ``hard`` or ``soft``.
        tie: the tie rule of hard voting.
        probabilities: ``(m, n, c)``, or None where the rule needs none.
        accuracies: ``(m,)``, the members' accuracies on these utterances.
    """

    predictions: NDArray[np.intp]
    truth: NDArray[np.intp]
    k: int
    n_classes: int
    rule: str
    tie: str
    probabilities: NDArray[np.floating] | None
    accuracies: NDArray[np.float64]

    @property
    def m(self) -> int:
        """Number of candidates."""
        return len(self.predictions)

    @property
    def n(self) -> int:
        """Number of utterances."""
        return len(self.truth)

    @property
    def total(self) -> int:
        """Number of ensembles."""
        return count_ensembles(self.m, self.k)

    @property
    def is_bitsliceable(self) -> bool:
        """Whether the compiled search can take it: the rules it knows, codes and counts in bytes."""
        return self.rule == "hard" and self.tie in ("lowest", "abstain") and 2 <= self.k <= 255 >= self.n_classes

    def vote(self, members: list[int]) -> Votes:
        """What the ensemble of these candidates decides."""
        probabilities = None if self.probabilities is None else self.probabilities[members]
        if self.rule == "soft" and probabilities is not None:
            return soft_vote(probabilities)
        return hard_vote(
            self.predictions[members],
            n_classes=self.n_classes,
            tie=self.tie,
            probabilities=probabilities,
            accuracies=self.accuracies[members],
        )


def pose_problem(
    predictions: ArrayLike,
    truth: ArrayLike,
    *,
    k: int,
    n_classes: int,
    rule: str,
    tie: str,
    probabilities: ArrayLike | None,
) -> Problem:
    """The checked problem.

    Raises:
        EnsembleError: if the arrays do not fit each other, leave their ranges, or one that is needed is missing; if
            there are no ensembles of ``k`` members, or more than can be counted.
        UnknownNameError: if there is no such rule or tie rule.
    """
    if rule not in RULES:
        raise UnknownNameError(describe_unknown("voting rule", rule, RULES))
    check_tie(tie)
    if rule == "soft" and tie != "lowest":
        raise EnsembleError(f"tie rule {tie!r} with soft voting: expected 'lowest'; the others are for hard voting")
    ballots = check_votes(predictions, n_classes, kind="predictions")
    m, n = ballots.shape
    true = _check_truth(truth, n, n_classes)
    _check_size(m, k)
    needed = rule == "soft" or tie == "confidence"
    checked = check_probabilities(probabilities, (m, n, n_classes), needed_by="voting rule") if needed else None
    return Problem(
        predictions=ballots,
        truth=true,
        k=k,
        n_classes=n_classes,
        rule=rule,
        tie=tie,
        probabilities=checked,
        accuracies=(ballots == true).mean(axis=1),
    )


def count_ensembles(m: int, k: int) -> int:
    """The number of k-member ensembles of ``m`` candidates, ``C(m, k)``; 0 where ``k > m``.

    >>> count_ensembles(84, 5)
    30872016
    """
    return comb(m, k)


def _check_truth(truth: ArrayLike, n: int, n_classes: int) -> NDArray[np.intp]:
    true = np.asarray(truth)
    if true.shape != (n,) or not np.issubdtype(true.dtype, np.integer):
        raise EnsembleError(
            f"truth is {true.dtype} of shape {true.shape}: expected integers of shape ({n},), a class per utterance"
        )
    if true.min() < 0 or true.max() >= n_classes:
        raise EnsembleError(f"truth ranges from {true.min()} to {true.max()}: expected 0..{n_classes - 1}")
    return true.astype(np.intp, copy=False)


def _check_size(m: int, k: int) -> None:
    if not 1 <= k <= m:
        raise EnsembleError(f"k is {k} with {m} members: expected 1 to {m}; name more members or a smaller k")
    if count_ensembles(m, k) > _MAX_ENSEMBLES:
        raise EnsembleError(
            f"there are {float(count_ensembles(m, k)):.1e} ensembles of {k} of {m} members: expected at most "
            f"{float(_MAX_ENSEMBLES):.1e}; name fewer members or a smaller k"
        )
