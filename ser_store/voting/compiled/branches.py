"""The compiled search with pruning, branch by branch: what goes into it and what comes out."""

import time
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.best import FLOOR, list_best
from ser_store.voting.compiled.bit_planes import CodedVotes
from ser_store.voting.compiled.bounding import DEPTH, NODES, begin, descend
from ser_store.voting.compiled.pruned_kernel import search_roots
from ser_store.voting.compiled.workspace import make_tree, make_work

# Beginnings that are collected before they are searched, and nodes between two looks at the budget: some milliseconds.
_N_ROOTS = 1024
_N_NODES = 2**12


class Budget:
    """Time and nodes that threads share."""

    def __init__(self, *, max_seconds: float | None, max_nodes: int | None) -> None:
        self.nodes = 0
        self._max_nodes = max_nodes
        self._deadline = None if max_seconds is None else time.perf_counter() + max_seconds
        self._ended = False
        self._lock = Lock()

    @property
    def is_spent(self) -> bool:
        late = self._deadline is not None and time.perf_counter() >= self._deadline
        return self._ended or late or (self._max_nodes is not None and self.nodes >= self._max_nodes)

    def spend(self, nodes: int) -> None:
        with self._lock:
            self.nodes += nodes

    def end(self) -> None:
        self._ended = True


def bound_branches(candidates: CodedVotes, prefixes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the most utterances right of any ensemble that begins with each of the ``(b, p)`` prefixes, ``(b,)``."""
    tree, scores = make_tree(candidates), np.zeros(candidates.end, dtype=np.int64)
    return np.array([begin(candidates, tree, prefix, scores) for prefix in prefixes], dtype=np.int64)


def search_branch(
    candidates: CodedVotes, prefix: NDArray[np.int64], *, top: int, floor: int, budget: Budget
) -> tuple[bool, int, tuple[NDArray[np.int64], ...]]:
    """Return the best of the ensembles that begin with ``prefix`` and have at least ``floor`` utterances right.

    Returns whether the budget was enough, how many ensembles were voted, and the best's utterances right, balances
    and members.
    """
    if budget.is_spent:
        return False, 0, list_best(make_work(candidates, top=top, floor=floor).best, first=candidates.first)
    n_fixed, n_rooted = len(prefix), candidates.k - 3
    tree, scores = make_tree(candidates), np.zeros(candidates.end, dtype=np.int64)
    work = make_work(candidates, top=top, floor=floor)
    budget.spend(1)
    if begin(candidates, tree, prefix, scores) < floor:
        return True, 0, list_best(work.best, first=candidates.first)
    if n_fixed == n_rooted:
        visited = search_roots(work, prefix[None])
        return True, visited, list_best(work.best, first=candidates.first)
    path = np.full(n_rooted, prefix[-1], dtype=np.int64)
    path[:n_fixed] = prefix
    state = np.zeros(2, dtype=np.int64)
    state[DEPTH] = n_fixed
    roots = np.zeros((_N_ROOTS, n_rooted), dtype=np.int64)
    visited = 0
    while state[DEPTH] >= n_fixed:
        if budget.is_spent:
            return False, visited, list_best(work.best, first=candidates.first)
        before = state[NODES]
        found = descend(candidates, tree, path, state, scores, roots, n_fixed, int(work.best.state[FLOOR]), _N_NODES)
        budget.spend(int(state[NODES] - before))
        visited += search_roots(work, roots[:found])
    return True, visited, list_best(work.best, first=candidates.first)
