"""Compiled: the beginnings of ensembles, without those that provably lead to nothing good enough.

The bound on how many utterances an ensemble with a given beginning of its members can get right, with ``r`` votes to
go, of members who come later:

- Utterances that are settled count as what they are, see ``kernel``.
- Every other one counts at most 1, and at most a line in the votes that it is still to get: at most ``v / need``,
  where ``v`` later votes are for the truth and it takes ``need`` to bring the least margin up to 0; and at most
  ``(g + r) / (need + r)``, where ``g`` is what later votes change of that margin, at least ``-r``. Which of the three
  is taken follows from what the later candidates vote on average.
- The sum of lines is a constant and a sum over the later members, so that it is at most the constant and the ``r``
  later candidates who add most: this is a Lagrangian bound, whose multipliers are guessed instead of optimised.

Lines are in whole numbers, rounded up, so that the bound holds exactly.
"""

import time
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.best import FLOOR, list_best
from ser_store.voting.compiled.bit_planes import CodedVotes, Ints, Tree, add_vote
from ser_store.voting.compiled.jit import compiled, compiled_inner
from ser_store.voting.compiled.pruned_kernel import search_roots
from ser_store.voting.compiled.workspace import make_tree, make_work

# Of one utterance: the least common multiple of 1 to 15.
_UNIT = 360360

# Places in the state of a descent.
DEPTH, NODES = 0, 1
# Beginnings that are collected before they are searched, and nodes between two looks at the budget: some milliseconds.
_N_ROOTS = 1024
_N_NODES = 2**12


@compiled
def begin(candidates: CodedVotes, tree: Tree, prefix: Ints, scores: Ints) -> int:
    """Compute the tree's rows for an ensemble that begins with ``prefix``, and return its bound."""
    last = candidates.first - 1
    add_vote(candidates, tree, 0, last)
    for place in range(len(prefix)):
        last = prefix[place]
        add_vote(candidates, tree, place + 1, last)
    return bound_correct(candidates, tree, len(prefix) + 1, last, candidates.k - len(prefix), scores)


@compiled
def descend(
    candidates: CodedVotes,
    tree: Tree,
    path: Ints,
    state: Ints,
    scores: Ints,
    roots: Ints,
    n_fixed: int,
    floor: int,
    max_nodes: int,
) -> int:
    """Go on through the beginnings of ``k - 3`` members, in lexicographic order, whose bound is at least ``floor``.

    Args:
        path: ``(k - 3,)``, the members so far; the one at ``state[DEPTH]`` is the last that was tried there.
        state: the depth, ``n_fixed - 1`` when there are no more; and the nodes visited in all.
        scores: ``(end,)``, for the bound to work in.
        roots: ``(e, k - 3)``, to write the beginnings to.
        n_fixed: members of the path that stay as they are.
        floor: the fewest utterances right that are good enough.
        max_nodes: stop when so many have been visited in this call.

    Returns:
        The number of beginnings written; fewer than there is room for when there are no more, or by ``max_nodes``.
    """
    k, end = candidates.k, candidates.end
    depth = state[DEPTH]
    n_roots = 0
    nodes = 0
    while depth >= n_fixed and n_roots < len(roots) and nodes < max_nodes:
        member = path[depth] + 1
        if member > end - (k - depth):
            depth -= 1
            continue
        path[depth] = member
        nodes += 1
        add_vote(candidates, tree, depth + 1, member)
        if bound_correct(candidates, tree, depth + 2, member, k - depth - 1, scores) < floor:
            continue
        if depth + 1 == len(path):
            roots[n_roots] = path
            n_roots += 1
        else:
            depth += 1
            path[depth] = member
    state[DEPTH] = depth
    state[NODES] += nodes
    return n_roots


@compiled_inner
def bound_correct(candidates: CodedVotes, tree: Tree, row: int, member: int, votes_left: int, scores: Ints) -> int:
    """The most utterances that any ensemble can get right that adds ``votes_left`` candidates after ``member`` to the
    tree's ``row``."""
    codes, remaining, n_rivals, end = candidates.codes, candidates.remaining, candidates.n_rivals, candidates.end
    utterances, margins = tree.utterances, tree.margins
    settled = tree.correct[row] + tree.counts[row]
    if votes_left == 0:
        return int(settled)
    counts_row = (member + 1) // candidates.stride
    n_later = end - counts_row * candidates.stride
    later = scores[member + 1 : end]
    later[:] = 0
    constant = tree.correct[row] * _UNIT
    for place in range(tree.counts[row]):
        utterance = utterances[row, place]
        rival = 0
        for other in range(1, n_rivals[utterance]):
            if margins[row, place, other] < margins[row, place, rival]:
                rival = other
        need = -int(margins[row, place, rival])
        for_truth = int(remaining[counts_row, utterance, 0])
        against = int(remaining[counts_row, utterance, rival + 1])
        by_votes = votes_left * for_truth / (need * n_later) if need > 0 else 1.0
        by_margin = 1.0
        if need + votes_left > 0:
            by_margin = votes_left * (1 + (for_truth - against) / n_later) / (need + votes_left)
        votes = codes[utterance * end + member + 1 : (utterance + 1) * end]
        if by_votes < 1 and by_votes <= by_margin:
            slope = (_UNIT + need - 1) // need
            for candidate in range(len(votes)):
                later[candidate] += slope * (votes[candidate] == 0)
        elif by_margin < 1:
            slope = (_UNIT + need + votes_left - 1) // (need + votes_left)
            constant += slope * votes_left
            for candidate in range(len(votes)):
                gain = np.int64(votes[candidate] == 0) - np.int64(votes[candidate] == rival + 1)
                later[candidate] += slope * gain
        else:
            constant += _UNIT
    return int(min(settled, (constant + sum_largest(later, votes_left)) // _UNIT))


@compiled_inner
def sum_largest(scores: Ints, count: int) -> int:
    """Return the sum of the ``count`` largest, which are put first."""
    total = 0
    for place in range(count):
        largest = place
        for other in range(place + 1, len(scores)):
            if scores[other] > scores[largest]:
                largest = other
        scores[place], scores[largest] = scores[largest], scores[place]
        total += scores[place]
    return total


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
