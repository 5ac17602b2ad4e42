"""The subsets of candidates: any stretch of the k-subsets as an array, and which ensembles constraints allow.

Constraints ask for at most one candidate of each group, and one at least of each set that is required.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import EnsembleError

Ints = NDArray[np.int64]

# What is required is kept in the bits of a signed word.
_MAX_REQUIRED = 62
# CodedVotes that are tried at once when beginnings of ensembles are listed.
_ROWS = 2**16


@dataclass(frozen=True, eq=False)
class Constraints:
    """What is asked of an ensemble of ``m`` candidates, whose members are taken in ascending order.

    Attributes:
        following: ``(m,)`` int64, the first candidate that may come after each: the one after it, or after its group.
        hits: ``(m,)`` int64, bit ``r`` set where the candidate belongs to the ``r``-th set that is required.
        later_hits: ``(m + 1,)`` int64, what the candidates from each on hit together.
        needed: all bits.
        sizes: of the groups; or all 1.
        required: the sets.
    """

    following: Ints
    hits: Ints
    later_hits: Ints
    needed: int
    sizes: tuple[int, ...]
    required: tuple[frozenset[int], ...]

    @property
    def m(self) -> int:
        """Number of candidates."""
        return len(self.following)

    def count(self, k: int) -> int:
        """Return how many ensembles of ``k`` members are allowed."""
        # By inclusion and exclusion over the sets of which an ensemble holds nobody.
        ends = np.cumsum(self.sizes).tolist()
        total = 0
        for n_avoided in range(len(self.required) + 1):
            for avoided in combinations(self.required, n_avoided):
                gone = frozenset().union(*avoided)
                sizes = [
                    size - sum(end - size <= member < end for member in gone)
                    for size, end in zip(self.sizes, ends, strict=True)
                ]
                total += (-1) ** n_avoided * _count_spread(sizes, k)
        return total

    def count_beginnings(self, size: int) -> int:
        """Return how many beginnings of so many members there are, whatever is required."""
        return _count_spread(self.sizes, size)

    def put_fixed_first(self) -> tuple[NDArray[np.intp], "Constraints"]:
        """The candidates that can be members, those first whom every ensemble holds, else in their order, ``(m,)``;
        and the constraints in these places."""
        group = np.repeat(np.arange(len(self.sizes)), self.sizes)
        fixed = sorted({next(iter(members)) for members in self.required if len(members) == 1})
        is_free = ~np.isin(group, group[fixed])
        order = np.concatenate([np.array(fixed, dtype=np.intp), np.flatnonzero(is_free)])
        places = {member: place for place, member in enumerate(order.tolist())}
        required = [[places[member] for member in sorted(members) if member in places] for members in self.required]
        return order, make_constraints(len(order), groups=group[order], required=required)

    def allow(self, members: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which of the ensembles, ``(e, k)`` ascending, are allowed."""
        spread = (members[:, 1:] >= self.following[members[:, :-1]]).all(axis=1)
        complete = np.bitwise_or.reduce(self.hits[members], axis=1) == self.needed
        allowed: NDArray[np.bool_] = spread & complete
        return allowed

    def iter_subsets(self, size: int, *, stop: int, held: int = 0) -> Iterator[tuple[NDArray[np.intp], Ints]]:
        """Subsets of ``size`` candidates below ``stop`` that may begin an ensemble, in lexicographic order, some at a
        time: ``(e, size)`` ascending, and what they hit together with ``held``, ``(e,)``."""
        yield from self._grow(
            np.empty((1, 0), dtype=np.intp), np.array([held]), np.zeros(1, dtype=np.int64), size, stop
        )

    def _grow(
        self, subsets: NDArray[np.intp], held: Ints, start: Ints, size: int, stop: int
    ) -> Iterator[tuple[NDArray[np.intp], Ints]]:
        if subsets.shape[1] == size:
            yield subsets, held
            return
        counts = np.maximum(stop - start, 0)
        ends = np.append(0, counts.cumsum())
        row = 0
        while row < len(subsets):
            end = max(row + 1, int(np.searchsorted(ends, ends[row] + _ROWS, side="right")) - 1)
            of = np.repeat(np.arange(row, end), counts[row:end])
            added = np.arange(len(of)) + (start[of] - (ends[of] - ends[row]))
            possible = ((held[of] | self.later_hits[added]) & self.needed) == self.needed
            of, added = of[possible], added[possible]
            if len(of):
                grown = np.column_stack([subsets[of], added])
                yield from self._grow(grown, held[of] | self.hits[added], self.following[added], size, stop)
            row = end


def make_constraints(m: int, *, groups: ArrayLike | None = None, required: Sequence[Sequence[int]] = ()) -> Constraints:
    """Return the checked constraints.

    Args:
        m: candidates.
        groups: ``(m,)`` whole numbers, the same for candidates of one group, which must be next to each other.
            Default: everyone is a group of its own.
        required: sets of indices of candidates.

    Raises:
        EnsembleError: if the groups are scattered or not ``m``, or a set is empty or holds unknown candidates.

    >>> make_constraints(4, groups=[0, 0, 1, 2], required=[[3]]).count(2)
    3
    """
    labels = np.arange(m) if groups is None else np.asarray(groups)
    if labels.shape != (m,):
        raise EnsembleError(f"groups have shape {labels.shape}: expected ({m},), one for each candidate")
    begins = np.flatnonzero(np.append(True, labels[1:] != labels[:-1])) if m else np.empty(0, dtype=np.intp)
    if len(set(labels[begins].tolist())) < len(begins):
        raise EnsembleError("the groups are scattered: expected the candidates of a group next to each other")
    if len(required) > _MAX_REQUIRED:
        raise EnsembleError(f"{len(required)} sets are required: expected at most {_MAX_REQUIRED}")
    ends = np.append(begins[1:], m)
    hits = np.zeros(m, dtype=np.int64)
    for number, members in enumerate(required):
        if not members or not all(0 <= member < m for member in members):
            raise EnsembleError(f"of {list(members)} one is required: expected indices of candidates in 0..{m - 1}")
        hits[list(members)] |= np.int64(1 << number)
    return Constraints(
        following=np.repeat(ends, ends - begins).astype(np.int64),
        hits=hits,
        later_hits=np.append(np.bitwise_or.accumulate(hits[::-1])[::-1], 0),
        needed=(1 << len(required)) - 1,
        sizes=tuple((ends - begins).tolist()),
        required=tuple(frozenset(members) for members in required),
    )


def _count_spread(sizes: Sequence[int], k: int) -> int:
    """Count the ensembles of ``k`` members with at most one of each group: the k-th elementary symmetric polynomial."""
    if all(size <= 1 for size in sizes):
        return comb(sum(sizes), k)
    ways = [1] + [0] * k
    for size in sizes:
        for chosen in range(k, 0, -1):
            ways[chosen] += size * ways[chosen - 1]
    return ways[k]


def unrank_subsets(start: int, stop: int, *, size: int) -> NDArray[np.intp]:
    """Return the subsets of ``size`` indices with colexicographic ranks ``start..stop-1``, ascending rows of ``size``.

    In this order, by the largest member first, the subsets of ``range(q)`` are the first ``C(q, size)``, whatever
    the number of candidates. The subset ``a < b < c`` has rank ``C(a, 1) + C(b, 2) + C(c, 3)``.

    >>> unrank_subsets(0, 4, size=2).tolist()
    [[0, 1], [0, 2], [1, 2], [0, 3]]
    """
    ranks = np.arange(start, stop, dtype=np.int64)
    subsets = np.empty((len(ranks), size), dtype=np.intp)
    n_candidates = size
    while comb(n_candidates, size) < stop:
        n_candidates += 1
    for place in range(size, 0, -1):
        firsts = np.array([min(comb(member, place), stop) for member in range(n_candidates)], dtype=np.int64)
        member = np.searchsorted(firsts, ranks, side="right") - 1
        ranks -= firsts[member]
        subsets[:, place - 1] = member
    return subsets


def unrank_lexicographic(start: int, stop: int, *, size: int, n_candidates: int) -> NDArray[np.intp]:
    """Return the subsets of ``size`` of ``range(n_candidates)`` with lexicographic ranks ``start..stop-1``, ascending.

    This is the order of ``itertools.combinations``.

    >>> unrank_lexicographic(4, 6, size=2, n_candidates=4).tolist()
    [[1, 3], [2, 3]]
    """
    # Colexicographic and downwards is lexicographic and upwards.
    total = comb(n_candidates, size)
    return n_candidates - 1 - unrank_subsets(total - stop, total - start, size=size)[::-1, ::-1]


def rank_lexicographic(subsets: NDArray[np.intp], *, n_candidates: int) -> NDArray[np.int64]:
    """Return the lexicographic ranks, ``(e,)``, of ascending subsets of ``range(n_candidates)``, ``(e, size)``.

    >>> rank_lexicographic(np.array([[0, 1], [2, 3]]), n_candidates=4).tolist()
    [0, 5]
    """
    size = subsets.shape[1]
    ranks = np.full(len(subsets), comb(n_candidates, size) - 1, dtype=np.int64)
    for place in range(size):
        # So many subsets agree up to this place and come later.
        later = np.array(
            [comb(n_candidates - 1 - member, size - place) for member in range(n_candidates)], dtype=object
        )
        # What no subset has at this place may leave 64 bits.
        ranks -= np.minimum(later, 2**62).astype(np.int64)[subsets[:, place]]
    return ranks
