"""How differently members err, and what each of them brings to an ensemble.

The measures are those of Kuncheva and Whitaker, "Measures of diversity in classifier ensembles and their relationship
with the ensemble accuracy", Machine Learning 51, 181-207 (2003). For two members and n utterances, ``n11`` is the
number of utterances that both predict right, ``n00`` that both predict wrong, ``n10`` that only the first and ``n01``
that only the second predicts right. Where a denominator is 0 the measure is NaN: it is undefined, not 0.
"""

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
    """Disagreement, Q statistic, double fault and kappa of every two members.

    Args:
        predictions: ``(m, n)`` class indices in ``0..n_classes-1``, one row per member.
        truth: ``(n,)`` class indices.
        n_classes: number of classes.

    Raises:
        EnsembleError: if the arrays do not fit each other or leave their ranges.

    >>> compute_pair_diversity([[0, 1, 1, 0], [0, 1, 0, 1]], [0, 1, 1, 1], n_classes=2).disagreement.tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    return _compare(_check(predictions, truth, n_classes))


def compute_ensemble_diversity(predictions: ArrayLike, truth: ArrayLike, *, n_classes: int) -> EnsembleDiversity:
    """The mean diversity of an ensemble's pairs, and what an oracle would make of its members.

    Args:
        predictions: ``(k, n)`` class indices in ``0..n_classes-1``, one row per member of the ensemble.
        truth: ``(n,)`` class indices.
        n_classes: number of classes.

    Raises:
        EnsembleError: if the arrays do not fit each other or leave their ranges.

    >>> compute_ensemble_diversity([[0, 1, 1, 0], [0, 1, 0, 1]], [0, 1, 1, 1], n_classes=2).oracle_accuracy
    1.0
    """
    problem = _check(predictions, truth, n_classes)
    pairs = _compare(problem)
    return EnsembleDiversity(
        disagreement=_average_pairs(pairs.disagreement),
        q_statistic=_average_pairs(pairs.q_statistic),
        double_fault=_average_pairs(pairs.double_fault),
        kappa=_average_pairs(pairs.kappa),
        oracle_accuracy=float((problem.predictions == problem.truth).any(axis=0).mean()),
    )


def _check(predictions: ArrayLike, truth: ArrayLike, n_classes: int) -> Problem:
    return pose_problem(predictions, truth, k=1, n_classes=n_classes, rule="hard", tie="lowest", probabilities=None)


def _compare(problem: Problem) -> PairDiversity:
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


def _count_together(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For every two rows of ``(m, n)`` marks the number of utterances that both mark."""
    m, n = marks.shape
    counts = np.zeros((m, m), dtype=np.int64)
    for start in range(0, n, _BLOCK):
        block = marks[:, start : start + _BLOCK].astype(np.float32)
        counts += (block @ block.T).astype(np.int64)
    return counts


def _divide(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> Matrix:
    """NaN where the denominator is 0."""
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def _average_pairs(matrix: Matrix) -> float:
    pairs = matrix[np.triu_indices(len(matrix), k=1)]
    defined = pairs[~np.isnan(pairs)]
    return float(defined.mean()) if len(defined) else float("nan")
