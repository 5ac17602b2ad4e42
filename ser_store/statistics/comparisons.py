"""Whether one member is better than another on the same utterances, or whether one cannot tell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError
from ser_store.statistics.bootstrap import REPEATS, Interval, resample_intervals
from ser_store.statistics.intervals import wilson_interval
from ser_store.statistics.matched_tests import check_members, flip_groups, holm
from ser_store.statistics.resampling import find_units


@dataclass(frozen=True)
class PairComparison:
    """Two members on the same utterances.

    Attributes:
        first: name of the one.
        second: name of the other.
        only_first: utterances that only the first gets right.
        only_second: utterances that only the second gets right.
        difference: accuracy of the first less that of the second, in -1..1.
        p: of this pair alone: McNemar's exact test, or with groups :func:`flip_groups`.
        p_holm: ``p`` with Holm's correction for all pairs that were compared.
        verdict: of the first against the second: ``better`` or ``worse`` where ``p_holm`` is below alpha, else
            ``cannot tell``.
        interval: of the difference, for this pair alone, by bootstrap; of two that are right on the same utterances by
            Wilson's bound of how often one alone is.
        method: the test's name, ``McNemar``, or ``permutation by speaker``.
    """

    first: str
    second: str
    only_first: int
    only_second: int
    difference: float
    p: float
    p_holm: float
    verdict: str
    interval: Interval
    method: str


def compare_pairs(
    correct: ArrayLike,
    names: Sequence[str],
    *,
    alpha: float = 0.05,
    groups: ArrayLike | Sequence[Any] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> tuple[PairComparison, ...]:
    """Compare every two members, in the order of ``names``, with Holm's correction for their number.

    Args:
        correct: ``(m, n)`` bool, which utterances each member predicts right, m >= 2.
        names: of the ``m`` members.
        alpha: the significance level: the chance to call any two different that are not, in 0..1, both excluded.
        groups: ``(n,)``, the speaker of every utterance: members are swapped by speaker, and speakers
            resampled. Default: every utterance for itself.
        repeats: bootstrap samples, for the intervals of the differences.
        seed: of the samples; the same seed gives the same intervals.

    Raises:
        MetricError: if there are fewer than two members, no utterances, or names and groups do not fit them.

    >>> right = [[True] * 20, [True] * 8 + [False] * 12]
    >>> [pair] = compare_pairs(right, ["first", "second"])
    >>> pair.verdict, pair.only_first, round(pair.p, 5)
    ('better', 12, 0.00049)
    """
    right = check_members(correct)
    m, n = right.shape
    if len(names) != m:
        raise MetricError(f"there are {len(names)} names for {m} members: expected as many")
    if not 0 < alpha < 1:
        raise MetricError(f"alpha is {alpha}: expected a number between 0 and 1, such as 0.05")
    pairs = list(combinations(range(m), 2))
    intervals = _find_difference_intervals(right, pairs, groups=groups, repeats=repeats, seed=seed)
    by_group = find_units(n, groups).sum(right.T).astype(np.int64)
    p_values = [flip_groups(by_group[:, a] - by_group[:, b]) for a, b in pairs]
    only = right.astype(np.float32) @ (~right).T.astype(np.float32)
    compared = []
    for (a, b), p, p_holm, interval in zip(pairs, p_values, holm(p_values).tolist(), intervals, strict=True):
        only_first, only_second = int(only[a, b]), int(only[b, a])
        verdict = "cannot tell" if p_holm >= alpha else "better" if only_first > only_second else "worse"
        compared.append(
            PairComparison(
                first=names[a],
                second=names[b],
                only_first=only_first,
                only_second=only_second,
                difference=(only_first - only_second) / n,
                p=p,
                p_holm=p_holm,
                verdict=verdict,
                interval=interval,
                method="McNemar" if groups is None else "permutation by speaker",
            )
        )
    return tuple(compared)


def compare_against(
    correct: ArrayLike, names: Sequence[str], other: int, *, alpha: float = 0.05, groups: ArrayLike | None = None
) -> tuple[PairComparison, ...]:
    """Compare all members with one of them, second in each pair, with Holm's correction for their number.

    Args:
        correct: ``(m, n)`` bool, which utterances each member predicts right, m >= 2.
        names: of the ``m`` members.
        other: the place of the one.
        alpha: as in :func:`compare_pairs`.
        groups: as in :func:`compare_pairs`.

    Raises:
        MetricError: as :func:`compare_pairs`.

    >>> right = [[True] * 20, [True] * 8 + [False] * 12, [True] * 7 + [False] * 13]
    >>> [(pair.first, pair.verdict, pair.second) for pair in compare_against(right, ["a", "b", "c"], 1)]
    [('a', 'better', 'b'), ('c', 'cannot tell', 'b')]
    """
    right = np.asarray(correct)
    alone = [
        compare_pairs(right[[place, other]], [name, names[other]], alpha=alpha, groups=groups)[0]
        for place, name in enumerate(names)
        if place != other
    ]
    return tuple(
        replace(test, p_holm=p_holm, verdict=test.verdict if p_holm < alpha else "cannot tell")
        for test, p_holm in zip(alone, holm([test.p for test in alone]).tolist(), strict=True)
    )


def caution_few_groups(n_groups: int, *, alpha: float = 0.05) -> str | None:
    """Return a caution where so few groups cannot give a p below ``alpha``, whatever the difference, else None.

    >>> caution_few_groups(5)
    '5 speakers cannot give a p below 0.0625, whatever the difference'
    >>> caution_few_groups(6)
    """
    lowest = 2.0 ** (1 - n_groups)
    if lowest < alpha:
        return None
    return f"{n_groups} speakers cannot give a p below {lowest:g}, whatever the difference"


def _find_difference_intervals(
    right: NDArray[np.bool_], pairs: Sequence[tuple[int, int]], **options: Any
) -> list[Interval]:
    """Return the interval of every pair's difference, from the same samples."""

    def compute(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        accuracies = sums[:, :-1] / sums[:, -1:]
        return {f"{a} {b}": accuracies[:, a] - accuracies[:, b] for a, b in pairs}

    n = right.shape[1]
    columns = np.concatenate([right, np.ones((1, n), dtype=np.bool_)]).T
    found = resample_intervals(columns, compute, limits=(-1.0, 1.0), **options).values()
    # Of two that are never right alone all samples have the same difference, 0. It lies within the share of utterances
    # on which one alone may be right after all.
    _, high = wilson_interval(0, n)
    return [
        Interval(-high, high, "Wilson") if (right[a] == right[b]).all() else interval
        for (a, b), interval in zip(pairs, found, strict=True)
    ]
