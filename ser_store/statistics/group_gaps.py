"""Whether groups of utterances, such as the speakers or the sexes, differ in accuracy by more than chance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError
from ser_store.statistics.intervals import check_correct
from ser_store.statistics.resampling import check_repeats, number_groups

REPEATS = 10_000
_BY_UTTERANCE = "permutation of utterances"
# Shares that are equal but were summed in another order.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class GroupGap:
    """The test of whether groups differ in accuracy.

    Attributes:
        statistic: Pearson's chi-square of the groups' right and wrong utterances, 0 or greater.
        p: how often chance gives a statistic at least as large, in 0..1.
        method: what was permuted: ``permutation of utterances``, ``of utterances within speaker``, or ``of speakers``,
            and ``exact`` where all ways were tried.
        caution: why the test cannot find a gap even if there is one, or compares units and not their groups; None if
            neither.
    """

    statistic: float
    p: float
    method: str
    caution: str | None = None


def compare_groups(
    correct: ArrayLike,
    groups: ArrayLike | Sequence[Any],
    *,
    units: ArrayLike | Sequence[Any] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> GroupGap:
    """Test whether the gap in accuracy between groups is chance: a permutation test of Pearson's chi-square.

    The statistic weighs every group by its size, so that a group of two utterances does not decide. What is permuted
    depends on how the groups lie to the speakers:

    - without ``units``, or where each group is one speaker: which utterances are right, over all utterances. Answers:
      do speakers differ?
    - every speaker in one group (sex, accent): the speakers are permuted among the groups, because a difficult speaker
      makes many utterances of a sex wrong at once. 4 speakers cannot give a small p, and then ``caution`` says so.
    - speakers in several groups (emotion, statement): which utterances are right, within each speaker, so that
      difficult speakers do not pass for difficult groups.

    p counts the permutation at hand among those drawn; all of them are tried where there are no more than ``repeats``
    ways to assign the speakers to the groups.

    Source: B. Phipson, G. K. Smyth, "Permutation p-values should never be zero", Statistical Applications in Genetics
    and Molecular Biology 9, 2010; for nested units, M. J. Anderson, C. J. F. ter Braak, "Permutation tests for
    multi-factorial analysis of variance", Journal of Statistical Computation and Simulation 73, 2003.

    Args:
        correct: ``(n,)`` bool, which utterances are predicted right.
        groups: ``(n,)``, the group of every utterance.
        units: ``(n,)``, the speaker of every utterance.
        repeats: permutations drawn at most.
        seed: of the permutations; the same seed gives the same p.

    Raises:
        MetricError: if there is no utterance, only one group, no repeat, or the arrays do not fit each other.

    >>> compare_groups([True] * 30 + [False] * 10, ["f"] * 20 + ["m"] * 20).p < 0.05
    True
    """
    right = check_correct(correct)
    check_repeats(repeats)
    numbers, values = number_groups(groups, n=len(right))
    if len(values) < 2:
        raise MetricError(f"all utterances are of group {values[0]}: expected two groups or more to compare")
    sizes = np.bincount(numbers, minlength=len(values))
    n_right = np.bincount(numbers[right], minlength=len(values))
    statistic = float(_compute_chi_square(n_right, sizes))
    rng = np.random.default_rng(seed)
    if units is None:
        drawn, method = _permute_utterances(rng, n_right, sizes, repeats), _BY_UTTERANCE
    else:
        drawn, method = _permute_by_unit(rng, right, numbers, units, repeats)
    exact = method.endswith("exact")
    reached = int(np.count_nonzero(drawn >= statistic * (1 - _ROUNDING)))
    lowest = 1 / len(drawn) if exact else 0.0
    caution = (
        f"only {len(drawn)} ways to assign the speakers to groups: no p below {lowest:.3f}" if lowest > 0.01 else None
    )
    if units is not None and method == _BY_UTTERANCE and set(map(str, values)) != set(map(str, np.asarray(units))):
        caution = "each group is one speaker: it is the speakers that are compared"
    return GroupGap(
        statistic=statistic,
        p=reached / len(drawn) if exact else (reached + 1) / (len(drawn) + 1),
        method=method,
        caution=caution,
    )


def _compute_chi_square(n_right: NDArray[np.integer[Any]], sizes: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return Pearson's chi-square by group, ``(...)`` of ``(..., groups)``; 0 where all or none are right."""
    n, total = sizes.sum(axis=-1), n_right.sum(axis=-1)
    share = (total / n)[..., None]
    expected_spread = np.where((total == 0) | (total == n), np.inf, (share * (1 - share))[..., 0])
    squares = np.square(n_right - sizes * share) / sizes
    return np.asarray(squares.sum(axis=-1) / expected_spread)


def _permute_utterances(
    rng: np.random.Generator, n_right: NDArray[np.intp], sizes: NDArray[np.intp], repeats: int
) -> NDArray[np.float64]:
    """Return the statistics of outcomes assigned to the groups at random, ``(repeats,)``."""
    dealt = rng.multivariate_hypergeometric(sizes, int(n_right.sum()), size=repeats)
    return _compute_chi_square(dealt, sizes)


def _permute_by_unit(
    rng: np.random.Generator,
    right: NDArray[np.bool_],
    numbers: NDArray[np.intp],
    units: ArrayLike | Sequence[Any],
    repeats: int,
) -> tuple[NDArray[np.float64], str]:
    """Return the statistics, ``(repeats,)`` or of all ways there are, and what was permuted."""
    unit_numbers, unit_values = number_groups(units, n=len(right))
    n_units, n_groups = len(unit_values), int(numbers.max()) + 1
    flat = unit_numbers * n_groups + numbers
    cells = np.bincount(flat, minlength=n_units * n_groups).reshape(n_units, n_groups)
    cells_right = np.bincount(flat[right], minlength=n_units * n_groups).reshape(n_units, n_groups)
    is_nested = bool((np.count_nonzero(cells, axis=1) == 1).all())
    sizes = cells.sum(axis=0)
    if is_nested and n_units == n_groups:
        return _permute_utterances(rng, cells_right.sum(axis=0), sizes, repeats), _BY_UTTERANCE
    if not is_nested:
        dealt = np.zeros((repeats, n_groups), dtype=np.int64)
        for unit_sizes, unit_right in zip(cells, cells_right, strict=True):
            dealt += rng.multivariate_hypergeometric(unit_sizes, int(unit_right.sum()), size=repeats)
        return _compute_chi_square(dealt, sizes), "permutation of utterances within speaker"
    group_of_unit = cells.argmax(axis=1)
    per_group = np.bincount(group_of_unit, minlength=n_groups)
    if _count_deals(per_group) <= repeats:
        deals, method = np.array(list(_iter_deals(per_group.tolist()))), "permutation of speakers, exact"
    else:
        deals = rng.permuted(np.tile(group_of_unit, (repeats, 1)), axis=1)
        method = "permutation of speakers"
    is_in = deals[:, None, :] == np.arange(n_groups)[:, None]
    return _compute_chi_square(is_in @ cells_right.sum(axis=1), is_in @ cells.sum(axis=1)), method


def _count_deals(per_group: NDArray[np.intp]) -> int:
    """Return in how many ways units can be assigned to groups of these numbers of units."""
    ways, left = 1, int(per_group.sum())
    for size in per_group.tolist():
        ways *= comb(left, size)
        left -= size
    return ways


def _iter_deals(per_group: Sequence[int]) -> Iterator[list[int]]:
    """Yield every way to assign units to groups: the group of each unit."""
    n_units = sum(per_group)

    def deal(group: int, places: tuple[int, ...], dealt: list[int]) -> Iterator[list[int]]:
        if group == len(per_group):
            yield dealt.copy()
            return
        for taken in combinations(places, per_group[group]):
            for place in taken:
                dealt[place] = group
            yield from deal(group + 1, tuple(place for place in places if place not in taken), dealt)

    yield from deal(0, tuple(range(n_units)), [0] * n_units)
