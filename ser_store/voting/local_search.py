"""Local search: good ensembles by exchanging one member after the other, with which an exact search begins."""

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.margins import Margins
from ser_store.voting.numpy_search import encode, vote_block
from ser_store.voting.problem import Problem

Members = tuple[int, ...]

_STARTS = 8


def search_locally(problem: Problem, *, top: int, starts: int = _STARTS, seed: int = 0) -> dict[Members, int]:
    """Return up to ``top`` different good ensembles, members ascending, and how many utterances each gets right.

    Beginning with random ensembles, exchange every member in turn for the candidate with whom most utterances are
    right, until no exchange improves the ensemble. All ensembles voted on the way count.

    >>> from ser_store.voting.problem import pose_problem
    >>> search_locally(pose_problem([[0, 0, 1], [0, 1, 0], [1, 1, 1]], [0, 1, 1], k=2, n_classes=2), top=1)
    {(0, 2): 2}
    """
    rng = np.random.default_rng(seed)
    margins = encode(problem)
    found: dict[Members, int] = {}
    for _ in range(starts):
        ensemble = rng.choice(problem.m, problem.k, replace=False).tolist()
        current, unchanged = -1, 0
        while unchanged < problem.k:
            # The first member leaves; the one that comes in goes to the end, so that all get their turn.
            rest = ensemble[1:]
            correct = _count_right(problem, margins, rest)
            found = _keep_best(found, rest, correct, top)
            best = int(correct.argmax())
            unchanged = 0 if correct[best] > current else unchanged + 1
            ensemble = [*rest, best if correct[best] > current else ensemble[0]]
            current = max(current, int(correct[best]))
    return found


def _count_right(problem: Problem, margins: Margins, rest: list[int]) -> NDArray[np.int64]:
    """Return how many utterances ``rest`` and each candidate get right, ``(m,)``; -1 for those already in it."""
    right = vote_block(problem, margins, np.array([rest], dtype=np.intp), 0, problem.m)[0]
    correct: NDArray[np.int64] = np.bitwise_count(right.view(np.uint64)).sum(axis=1, dtype=np.int64)
    correct[rest] = -1
    return correct


def _keep_best(found: dict[Members, int], rest: list[int], correct: NDArray[np.int64], top: int) -> dict[Members, int]:
    floor = min(found.values()) + 1 if len(found) == top else 0
    for candidate in np.flatnonzero(correct >= floor).tolist():
        found[tuple(sorted([*rest, candidate]))] = int(correct[candidate])
    kept = sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))[:top]
    return dict(kept)
