"""Which member brings what to an ensemble: its votes with every member left out once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import EnsembleError
from ser_store.voting.problem import Problem, pose_problem
from ser_store.voting.quantize import Logits


@dataclass(frozen=True)
class Contribution:
    """What one member brings to its ensemble.

    Attributes:
        member: index of the candidate.
        accuracy: of the member alone, in 0..1.
        accuracy_without: of the ensemble without it, in 0..1.
        gain: accuracy of the ensemble with it less without it, in -1..1; negative if the ensemble is better off alone.
        gained: utterances that are right with it and wrong without it.
        lost: utterances that are wrong with it and right without it.
    """

    member: int
    accuracy: float
    accuracy_without: float
    gain: float
    gained: int
    lost: int


@dataclass(frozen=True)
class Contributions:
    """An ensemble and what its members bring.

    Attributes:
        n: utterances.
        correct: utterances that the ensemble predicts right.
        accuracy: ``correct / n``, in 0..1.
        rows: one per member, in the order in which they were named.
    """

    n: int
    correct: int
    accuracy: float
    rows: tuple[Contribution, ...]


def compute_contributions(
    predictions: ArrayLike,
    truth: ArrayLike,
    *,
    members: Sequence[int],
    n_classes: int,
    rule: str = "hard",
    tie: str = "lowest",
    probabilities: ArrayLike | Logits | None = None,
    weights: ArrayLike | None = None,
) -> Contributions:
    """Leave every member of an ensemble out once, and vote without it.

    A candidate that is named several times has several votes, and loses one of them at a time.

    Args:
        predictions: ``(m, n)`` class indices in ``0..n_classes-1``, one row per candidate.
        truth: ``(n,)`` class indices.
        members: the ensemble, two or more indices of candidates. Between equally accurate members the tie rule
            ``best`` goes by this order.
        n_classes: number of classes, ``c``.
        rule: ``hard``, ``soft`` or ``soft-log``.
        tie: the tie rule of hard voting; ``best`` goes by the candidates' accuracy on these utterances.
        probabilities: ``(m, n, c)`` in 0..1, or :class:`~ser_store.voting.quantize.Logits`, for soft voting and the tie
            rule ``confidence``.
        weights: ``(m,)`` of the candidates, as in :func:`~ser_store.voting.search.search_ensembles`.

    Raises:
        EnsembleError: if there are fewer than two members, or one that there is not; if the arrays do not fit each
            other, leave their ranges, or one that is needed is missing.
        UnknownNameError: if there is no such rule or tie rule.

    >>> table = compute_contributions([[0, 1], [0, 0], [1, 1]], [0, 1], members=[0, 1, 2], n_classes=2)
    >>> [(row.member, row.gain) for row in table.rows]
    [(0, 0.5), (1, 0.0), (2, 0.5)]
    """
    problem = pose_problem(
        predictions, truth, k=1, n_classes=n_classes, rule=rule, tie=tie, probabilities=probabilities, weights=weights
    )
    chosen = _check_members(members, problem.m)
    right = _find_right(problem, chosen)
    rows = []
    for place, member in enumerate(chosen):
        without = _find_right(problem, chosen[:place] + chosen[place + 1 :])
        rows.append(
            Contribution(
                member=member,
                accuracy=float(_find_right(problem, [member]).mean()),
                accuracy_without=float(without.mean()),
                gain=(int(right.sum()) - int(without.sum())) / problem.n,
                gained=int(np.count_nonzero(right & ~without)),
                lost=int(np.count_nonzero(without & ~right)),
            )
        )
    return Contributions(
        n=problem.n, correct=int(np.count_nonzero(right)), accuracy=float(right.mean()), rows=tuple(rows)
    )


def _find_right(problem: Problem, members: list[int]) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = problem.vote(members).predicted == problem.truth
    return right


def _check_members(members: Sequence[int], m: int) -> list[int]:
    chosen = [int(member) for member in members]
    if len(chosen) < 2:
        raise EnsembleError(f"an ensemble of {len(chosen)}: expected at least 2 members, to leave one out")
    unknown = [member for member in chosen if not 0 <= member < m]
    if unknown:
        raise EnsembleError(f"there is no candidate {unknown[0]}: expected indices in 0..{m - 1}")
    return chosen
