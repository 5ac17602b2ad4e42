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

    def count_beginnings(self, size: int, *, stop: int) -> int:
        """Return how many beginnings of ``size`` candidates below ``stop`` there are, whatever is required."""
        ends = np.minimum(np.cumsum(self.sizes), stop)
        return _count_spread(np.diff(ends, prepend=0).tolist(), size)

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

    def iter_rows(self, size: int, *, stop: int, n_rows: int) -> Iterator[NDArray[np.intp]]:
        """The same in arrays of ``n_rows`` each, the last one with what is left."""
        left = np.empty((0, size), dtype=np.intp)
        for subsets, _ in self.iter_subsets(size, stop=stop):
            left = np.concatenate([left, subsets])
            whole = len(left) // n_rows * n_rows
            for start in range(0, whole, n_rows):
                yield left[start : start + n_rows]
            left = left[whole:]
        if len(left):
            yield left

    def _grow(
        self, subsets: NDArray[np.intp], held: Ints, start: Ints, size: int, stop: int
    ) -> Iterator[tuple[NDArray[np.intp], Ints]]:
        if subsets.shape[1] == size:
            yield subsets, held
            return
        # As many candidates as are still to come must be left for them.
        counts = np.maximum(stop - (size - 1 - subsets.shape[1]) - start, 0)
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


def unrank_lexicographic(start: int, stop: int, *, size: int, n_candidates: int) -> NDArray[np.intp]:
    """Return the subsets of ``size`` of ``range(n_candidates)`` with lexicographic ranks ``start..stop-1``, ascending.

    This is the order of ``itertools.combinations``.

    >>> unrank_lexicographic(4, 6, size=2, n_candidates=4).tolist()
    [[1, 3], [2, 3]]
    """
    # So many subsets come later: in the combinatorial number system of the candidates counted from the last.
    later = comb(n_candidates, size) - 1 - np.arange(start, stop, dtype=np.int64)
    subsets = np.empty((len(later), size), dtype=np.intp)
    for place in range(size):
        left = [min(comb(member, size - place), 2**62) for member in range(n_candidates)]
        subsets[:, place] = np.searchsorted(np.array(left, dtype=np.int64), later, side="right") - 1
        later -= np.array(left, dtype=np.int64)[subsets[:, place]]
    return n_candidates - 1 - subsets


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
