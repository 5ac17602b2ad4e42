"""The k-subsets of m candidates, any stretch of them as an array."""

from math import comb

import numpy as np
from numpy.typing import NDArray


def unrank_subsets(start: int, stop: int, *, size: int) -> NDArray[np.intp]:
    """The subsets of ``size`` indices with colexicographic ranks ``start..stop-1``, ``(stop - start, size)`` ascending.

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
    """The subsets of ``size`` of ``range(n_candidates)`` with lexicographic ranks ``start..stop-1``, ascending.

    This is the order of ``itertools.combinations``.

    >>> unrank_lexicographic(4, 6, size=2, n_candidates=4).tolist()
    [[1, 3], [2, 3]]
    """
    # Colexicographic and downwards is lexicographic and upwards.
    total = comb(n_candidates, size)
    return n_candidates - 1 - unrank_subsets(total - stop, total - start, size=size)[::-1, ::-1]


def rank_lexicographic(subsets: NDArray[np.intp], *, n_candidates: int) -> NDArray[np.int64]:
    """The lexicographic ranks, ``(e,)``, of ascending subsets of ``range(n_candidates)``, ``(e, size)``.

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
