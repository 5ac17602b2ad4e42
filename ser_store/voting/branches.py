"""The compiled search with pruning, branch by branch: what goes into it and what comes out."""

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.best import FLOOR, SIZE, make_best
from ser_store.voting.bitsliced import _make_tree
from ser_store.voting.bounding import DEPTH, NODES, begin, descend
from ser_store.voting.budget import Budget
from ser_store.voting.kernel import Terms, Work
from ser_store.voting.packing import Candidates, Pack
from ser_store.voting.pruned_kernel import search_roots

# Beginnings that are collected before they are searched, and nodes between two looks at the budget: some milliseconds.
_N_ROOTS = 1024
_N_NODES = 2**12


def bound_branches(candidates: Candidates, prefixes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most utterances right of any ensemble that begins with each of the ``(b, p)`` prefixes, ``(b,)``."""
    tree, scores = _make_tree(candidates), np.zeros(candidates.end, dtype=np.int64)
    return np.array([begin(candidates, tree, prefix, scores) for prefix in prefixes], dtype=np.int64)


def search_branch(
    candidates: Candidates, prefix: NDArray[np.int64], *, top: int, floor: int, budget: Budget
) -> tuple[bool, int, tuple[NDArray[np.int64], ...]]:
    """The best of the ensembles that begin with ``prefix`` and have at least ``floor`` utterances right.

    Returns whether the budget was enough, how many ensembles were voted, and the best's utterances right, balances
    and members.
    """
    if budget.is_spent:
        return False, 0, _unpack(candidates, make_work(candidates, top=top, floor=floor))
    n_fixed, n_rooted = len(prefix), candidates.k - 3
    tree, scores = _make_tree(candidates), np.zeros(candidates.end, dtype=np.int64)
    work = make_work(candidates, top=top, floor=floor)
    budget.spend(1)
    if begin(candidates, tree, prefix, scores) < floor:
        return True, 0, _unpack(candidates, work)
    if n_fixed == n_rooted:
        visited = search_roots(work, prefix[None])
        return True, visited, _unpack(candidates, work)
    path = np.full(n_rooted, prefix[-1], dtype=np.int64)
    path[:n_fixed] = prefix
    state = np.zeros(2, dtype=np.int64)
    state[DEPTH] = n_fixed
    roots = np.zeros((_N_ROOTS, n_rooted), dtype=np.int64)
    visited = 0
    while state[DEPTH] >= n_fixed:
        if budget.is_spent:
            return False, visited, _unpack(candidates, work)
        before = state[NODES]
        found = descend(candidates, tree, path, state, scores, roots, n_fixed, int(work.best.state[FLOOR]), _N_NODES)
        budget.spend(int(state[NODES] - before))
        visited += search_roots(work, roots[:found])
    return True, visited, _unpack(candidates, work)


def make_work(candidates: Candidates, *, top: int, floor: int) -> Work:
    """What the compiled code works in."""
    n, r = candidates.margins.shape
    k, n_classes = candidates.k, len(candidates.class_weights)
    n_words = -(-n // 64)
    n_slots = n_words * r
    return Work(
        candidates=candidates,
        tree=_make_tree(candidates),
        pack=Pack(
            slots=np.zeros(n_words + 1, dtype=np.int64),
            planes=np.zeros((n_words + n_slots) * candidates.end, dtype=np.uint64),
            reached=np.zeros((n_slots, 7), dtype=np.uint64),
            middle=np.zeros((n_slots, 5), dtype=np.uint64),
            valid=np.zeros(n_words, dtype=np.uint64),
            classes=np.zeros((n_words, n_classes), dtype=np.uint64),
            order=np.zeros(n, dtype=np.int64),
            relevant=np.zeros((n, r), dtype=np.int64),
            n_relevant=np.zeros(n, dtype=np.int64),
        ),
        terms=Terms(
            masks=np.zeros((2 * n_words + n_slots) * 8, dtype=np.uint64),
            places=np.zeros(3 * (n_words + n_slots), dtype=np.int64),
            base=np.zeros(8, dtype=np.uint64),
            scores=np.zeros(candidates.end, dtype=np.uint64),
            right=np.zeros(n_words, dtype=np.uint64),
            path=np.zeros(k, dtype=np.int64),
        ),
        best=make_best(top=top, k=k, floor=floor),
        histogram=np.zeros(0, dtype=np.int64),
        kept=np.zeros(0, dtype=np.int16),
    )


def _unpack(candidates: Candidates, work: Work) -> tuple[NDArray[np.int64], ...]:
    found = slice(0, work.best.state[SIZE])
    best = work.best
    return best.correct[found], best.balance[found], best.members[found] - candidates.first
