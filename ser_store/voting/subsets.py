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
