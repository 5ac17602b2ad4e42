"""Tests whether members differ in accuracy on the same utterances."""

import math
import sys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError
from ser_store.statistics.intervals import check_correct

# Trials up to which binomial coefficients are summed as the whole numbers they are.
_WHOLE_NUMBERS = 500
# No chance is 0: what no float can hold is said to be the smallest one.
_SMALLEST = sys.float_info.min


@dataclass(frozen=True)
class CochranQ:
    """Cochran's test of several members on the same utterances.

    Attributes:
        q: the statistic, 0 or greater.
        df: its degrees of freedom, members less one.
        p: how probable it is that members of equal accuracy differ so much, in 0..1, by the chi-square distribution.
    """

    q: float
    df: int
    p: float


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Return the p-value, two-sided, of McNemar's exact test whether two members differ in accuracy.

    Of the ``b + c`` utterances that only one of both gets right, each is the first's with probability 1/2 if both are
    equally accurate: ``p = min(1, 2 P(X <= min(b, c)))`` for a binomial X of ``b + c`` fair trials. It takes the
    utterances as independent; where several are of one speaker, :func:`flip_groups` does not.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947; exact form: A. L. Edwards, Psychometrika 13, 1948.

    Args:
        correct_a: ``(n,)`` bool, which utterances the first predicts right.
        correct_b: ``(n,)`` bool, which utterances the second predicts right.

    Raises:
        MetricError: if there is no utterance, or the arrays do not fit each other.

    >>> mcnemar([True] * 9 + [False], [False] * 8 + [True] * 2)
    0.0390625
    """
    right_a, right_b = check_correct(correct_a), check_correct(correct_b)
    if len(right_a) != len(right_b):
        raise MetricError(
            f"the first has {len(right_a)} utterances and the second {len(right_b)}: expected the same utterances"
        )
    b, c = int(np.count_nonzero(right_a & ~right_b)), int(np.count_nonzero(right_b & ~right_a))
    return _compute_sign_probability(min(b, c), b + c)


def cochran_q(correct: ArrayLike) -> CochranQ:
    """Test by Cochran's Q whether several members differ in accuracy on the same utterances at all.

    With ``C`` the utterances right by member (k members), ``R`` the members right by utterance, and N their sum::

        Q = (k - 1) (k sum(C²) - N²) / (k N - sum(R²))

    against the chi-square distribution with ``k - 1`` degrees of freedom; Q is 0 and p is 1 where every utterance is
    right for all or for none. The distribution holds for many utterances on which members differ (24 or more); of two
    members Q is McNemar's statistic without its exactness: :func:`mcnemar` then.

    Source: W. G. Cochran, "The comparison of percentages in matched samples", Biometrika 37, 1950.

    Args:
        correct: ``(m, n)`` bool, which utterances each member predicts right, m >= 2.

    Raises:
        MetricError: if there are fewer than two members, or no utterances.

    >>> found = cochran_q([[True] * 30, [True] * 20 + [False] * 10, [True] * 15 + [False] * 15])
    >>> round(found.q, 2), found.df, found.p < 0.001
    (23.33, 2, True)
    """
    right = check_members(correct)
    by_member, by_utterance = right.sum(axis=1), right.sum(axis=0)
    k, total = len(right), int(by_member.sum())
    spread = k * total - int(np.square(by_utterance).sum())
    if spread == 0:
        return CochranQ(0.0, k - 1, 1.0)
    q = (k - 1) * (k * int(np.square(by_member).sum()) - total * total) / spread
    # Imported here: it takes 0.2 s, ten times as long as the comparison.
    from scipy.special import chdtrc

    return CochranQ(q, k - 1, max(_SMALLEST, float(chdtrc(k - 1, q))))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return Holm's adjusted p-values: of those below alpha, any is a false alarm with a chance below alpha.

    The i-th smallest of m (from 0) becomes ``(m - i) p``, but no less than those before it and at most 1.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6,
    1979.

    Args:
        p: ``(m,)`` in 0..1.

    Raises:
        MetricError: if a p-value leaves 0..1.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise MetricError(f"p-values have shape {values.shape}: expected (m,), each in 0..1")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def flip_groups(differences: ArrayLike) -> float:
    """Return the exact p-value, two-sided, of a permutation test that swaps two members by group, such as speaker.

    If it makes no difference which of two members one takes, then swapping them for any speaker gives an outcome just
    as probable as the one at hand, however alike the utterances of a speaker are. p is the share of all ``2**g``
    ways to swap in which the absolute sum of ``differences`` is at least as large as it is. With every utterance a
    group of its own this is McNemar's exact test. Few groups cannot give a small p: 5 speakers no less than 1/16.

    All ways are counted by adding one group at a time, which takes g steps of the length of the sum's range, so that
    the p-value is exact for any number of groups.

    Source: R. A. Fisher, "The design of experiments", 1935, section 21; for systems compared on the same cases, E. W.
    Noreen, "Computer-intensive methods for testing hypotheses", 1989.

    Args:
        differences: ``(g,)`` whole numbers: in each group, utterances that only the first gets right less those that
            only the second does.

    Raises:
        MetricError: if they are not whole numbers.

    >>> flip_groups([1, 1, 1, 1, 1])
    0.0625
    """
    given = np.asarray(differences)
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.integer):
        raise MetricError(f"differences are of shape {given.shape} and type {given.dtype}: expected (g,) whole numbers")
    return _flip(tuple(sorted(int(size) for size in np.abs(given) if size)), abs(int(given.sum())))


def check_members(correct: ArrayLike) -> NDArray[np.bool_]:
    """Return ``correct``, ``(m, n)`` of two or more members, as an array of bool, or raise MetricError."""
    right = np.asarray(correct)
    if right.ndim != 2 or right.shape[0] < 2 or right.shape[1] < 1 or right.dtype != np.bool_:
        raise MetricError(
            f"correct is of shape {right.shape} and type {right.dtype}: expected (m, n) bool, a row for each of two or "
            "more members"
        )
    return right


def _compute_sign_probability(fewer: int, n: int) -> float:
    """Return ``min(1, 2 P(X <= fewer))`` for a binomial X of ``n`` fair trials, exact also where it is tiny."""
    if 2 * fewer >= n:
        return 1.0
    if n <= _WHOLE_NUMBERS:
        tail: int = sum(math.comb(n, k) for k in range(fewer + 1))
        return min(1.0, float(tail / 2 ** (n - 1)))
    log_choices = math.lgamma(n + 1) - math.lgamma(fewer + 1) - math.lgamma(n - fewer + 1)
    term = total = 1.0
    for k in range(fewer, 0, -1):
        term *= k / (n - k + 1)
        total += term
    return min(1.0, max(_SMALLEST, 2 * total * math.exp(log_choices - n * math.log(2))))


@lru_cache(maxsize=4096)
def _flip(sizes: tuple[int, ...], reached: int) -> float:
    if not sizes or reached == 0:
        return 1.0
    if sizes[-1] == 1:
        return _compute_sign_probability((len(sizes) - reached) // 2, len(sizes))
    # How probable each sum is, from minus the largest to the largest, while the groups are added one by one.
    largest = sum(sizes)
    probabilities = np.zeros(2 * largest + 1)
    probabilities[largest] = 1
    for size in sizes:
        probabilities = (np.roll(probabilities, size) + np.roll(probabilities, -size)) / 2
    return min(1.0, max(_SMALLEST, float(2 * probabilities[largest + reached :].sum())))
