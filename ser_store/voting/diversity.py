"""Diversity: how differently members err, and what each of them adds to an ensemble.

The measures are those of Kuncheva and Whitaker, "Measures of diversity in classifier ensembles and their relationship
with the ensemble accuracy", Machine Learning 51, 181-207 (2003). For two members and n utterances, ``n11`` is the
number of utterances that both predict right, ``n00`` that both predict wrong, ``n10`` that only the first and ``n01``
that only the second predicts right. Where a denominator is 0 the measure is NaN: it is undefined, not 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.voting.problem import Problem, pose_problem

Matrix = NDArray[np.float64]

# Utterances counted in one matrix product: in float32 its sums stay exact whole numbers.
_BLOCK = 2**16


@dataclass(frozen=True)
class PairDiversity:
    """How differently every two of m members predict; all ``(m, m)`` float64, symmetric.

    On the diagonal stand the formulas' values for a member beside itself: its disagreement is 0, its double fault its
    error rate, and its Q and kappa are 1, or NaN where they are undefined.

    Attributes:
        disagreement: ``(n10 + n01) / n``, in 0..1: the share of utterances that exactly one of the two predicts
            right. Higher is more diverse (Skalak 1996; Kuncheva and Whitaker 2003, section 3.1.3).
        q_statistic: ``(n11 n00 - n01 n10) / (n11 n00 + n01 n10)``, in -1..1: 0 for members that err independently,
            negative for members that err on different utterances. NaN where both products are 0, as when one of the
            two errs always or never (Yule 1900; section 3.1.1).
        double_fault: ``n00 / n``, in 0..1: the share of utterances that both predict wrong. Lower is more diverse
            (Giacinto and Roli 2001; section 3.1.4).
        kappa: ``(p - e) / (1 - e)``, at most 1: the share ``p`` of utterances where the two predict the same class,
            right or wrong, over the share ``e`` expected of members that predict each class as often but
            independently. 1 for equal predictions, 0 for chance, negative below. NaN where both predict one and the
            same class throughout (Cohen 1960; between two classifiers' predictions, Margineantu and Dietterich 1997.
            Kuncheva and Whitaker's own kappa, section 3.2.3, is of right and wrong instead of classes).
    """

    disagreement: Matrix
    q_statistic: Matrix
    double_fault: Matrix
    kappa: Matrix


@dataclass(frozen=True)
class EnsembleDiversity:
    """How differently the members of one ensemble predict.

    The first four are means over all pairs of different places in the ensemble, as Kuncheva and Whitaker (2003,
    section 3.1) take them; pairs where the measure is NaN are left out, and the mean is NaN where none remains, as for
    an ensemble of one.

    Attributes:
        disagreement: mean disagreement, in 0..1.
        q_statistic: mean Q statistic, in -1..1.
        double_fault: mean double fault, in 0..1.
        kappa: mean kappa, at most 1.
        oracle_accuracy: share of the utterances that at least one member predicts right, in 0..1: what an oracle
            would reach that always follows the right member.
    """

    disagreement: float
    q_statistic: float
    double_fault: float
    kappa: float
    oracle_accuracy: float


def compute_pair_diversity(predictions: ArrayLike, truth: ArrayLike, *, n_classes: int) -> PairDiversity:
    """Return disagreement, Q statistic, double fault and kappa of every two members.

    Args:
        predictions: ``(m, n)`` class indices in ``0..n_classes-1``, one row per member.
        truth: ``(n,)`` class indices.

    Raises:
        EnsembleError: if the arrays do not fit each other or leave their ranges.

    >>> compute_pair_diversity([[0, 1, 1, 0], [0, 1, 0, 1]], [0, 1, 1, 1], n_classes=2).disagreement.tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    problem = pose_problem(predictions, truth, k=1, n_classes=n_classes)
    n = problem.n
    right = problem.predictions == problem.truth
    n_right = right.sum(axis=1)
    both_right = _count_together(right)
    only_one = n_right[:, None] + n_right - 2 * both_right
    both_wrong = n - only_one - both_right
    together, apart = both_right * both_wrong, (n_right[:, None] - both_right) * (n_right - both_right)

    same = np.zeros_like(both_right)
    by_chance = np.zeros_like(both_right)
    for label in range(problem.n_classes):
        chosen = problem.predictions == label
        n_chosen = chosen.sum(axis=1)
        if n_chosen.any():
            same += _count_together(chosen)
            by_chance += np.outer(n_chosen, n_chosen)
    return PairDiversity(
        disagreement=only_one / n,
        q_statistic=_divide(together - apart, together + apart),
        double_fault=both_wrong / n,
        kappa=_divide(n * same - by_chance, n * n - by_chance),
    )


def compute_ensemble_diversity(predictions: ArrayLike, truth: ArrayLike, *, n_classes: int) -> EnsembleDiversity:
    """Return the mean diversity of an ensemble's pairs, and what an oracle would make of its members.

    Args:
        predictions: ``(k, n)`` class indices in ``0..n_classes-1``, one row per member of the ensemble.
        truth: ``(n,)`` class indices.

    Raises:
        EnsembleError: if the arrays do not fit each other or leave their ranges.

    >>> compute_ensemble_diversity([[0, 1, 1, 0], [0, 1, 0, 1]], [0, 1, 1, 1], n_classes=2).oracle_accuracy
    1.0
    """
    pairs = compute_pair_diversity(predictions, truth, n_classes=n_classes)
    return EnsembleDiversity(
        **{name: _average_pairs(matrix) for name, matrix in vars(pairs).items()},
        oracle_accuracy=float((np.asarray(predictions) == np.asarray(truth)).any(axis=0).mean()),
    )


def _count_together(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for every two rows of ``(m, n)`` marks the number of utterances that both mark."""
    m, n = marks.shape
    counts = np.zeros((m, m), dtype=np.int64)
    for start in range(0, n, _BLOCK):
        block = marks[:, start : start + _BLOCK].astype(np.float32)
        counts += (block @ block.T).astype(np.int64)
    return counts


def _divide(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> Matrix:
    """Return NaN where the denominator is 0."""
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def _average_pairs(matrix: Matrix) -> float:
    pairs = matrix[np.triu_indices(len(matrix), k=1)]
    defined = pairs[~np.isnan(pairs)]
    return float(defined.mean()) if len(defined) else float("nan")


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


def compute_contributions(problem: Problem, members: Sequence[int]) -> Contributions:
    """Leave every member of an ensemble out once, and vote without it.

    A candidate that is named several times has several votes, and loses one of them at a time.

    Args:
        problem: who votes by which rule, whatever its ``k`` and constraints.
        members: the ensemble, two or more indices of candidates. Between equally accurate members the tie rule
            ``best`` goes by this order.

    >>> problem = pose_problem([[0, 1], [0, 0], [1, 1]], [0, 1], k=3, n_classes=2)
    >>> [(row.member, row.gain) for row in compute_contributions(problem, [0, 1, 2]).rows]
    [(0, 0.5), (1, 0.0), (2, 0.5)]
    """
    chosen = list(members)
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
