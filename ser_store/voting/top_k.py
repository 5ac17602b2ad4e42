"""What a search keeps of the ensembles it has seen: how many had how many right, and the best few in order.

The order by accuracy: more right first, then the higher balanced accuracy, then the members' indices lexicographically.
By balanced accuracy the first two change places. Nothing of it depends on the order in which the ensembles are seen.
"""

from math import lcm

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.problem import Problem


def weigh_utterances(truth: NDArray[np.intp], n_classes: int) -> NDArray[np.int64]:
    """Return what each utterance adds to the balance, ``(n,)`` int64: an integer that orders as balanced accuracy does.

    An utterance weighs the reciprocal of its class' support, times the least common multiple of all supports, so that
    equal balanced accuracies give equal balances. Where that leaves 62 bits the reciprocals are rounded to them.
    """
    support = np.bincount(truth, minlength=n_classes)
    occurring = [int(size) for size in support if size]
    scale = lcm(*occurring)
    if scale * len(occurring) >= 2**62:
        scale = 2**62 // len(occurring)
    per_class = np.array([scale // int(size) if size else 0 for size in support], dtype=np.int64)
    return per_class[truth]


def bound_balance(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the highest balance that 0, 1, …, n utterances right can have, ``(n + 1,)`` ascending."""
    # So many wrong cost least if they are the utterances that weigh least.
    best: NDArray[np.int64] = (weights.sum() - np.append(0, np.sort(weights).cumsum()))[::-1].copy()
    return best


class Tally:
    """The histogram of all ensembles seen of a problem and the ``top`` best of them, in order.

    Attributes:
        histogram: ``(n + 1,)`` int64, ensembles by number of utterances right.
        correct: ``(t,)`` int64, utterances right of the best, ``t <= top``.
        balance: ``(t,)`` int64, see :func:`weigh_utterances`.
        members: ``(t, k)`` ascending indices of candidates.
    """

    def __init__(self, problem: Problem, *, top: int) -> None:
        self.top = top
        self._by_balance = problem.objective == "balanced_accuracy"
        self._best_balance = bound_balance(weigh_utterances(problem.truth, problem.n_classes))
        self.histogram = np.zeros(problem.n + 1, dtype=np.int64)
        self.correct = np.empty(0, dtype=np.int64)
        self.balance = np.empty(0, dtype=np.int64)
        self.members = np.empty((0, problem.k), dtype=np.intp)

    @property
    def floor(self) -> int:
        """Ensembles with fewer utterances right cannot be among the best any more."""
        if len(self.correct) < self.top:
            return 0
        if not self._by_balance:
            return int(self.correct[-1])
        return int(np.searchsorted(self._best_balance, self.balance[-1]))

    def offer(self, correct: NDArray[np.int64], balance: NDArray[np.int64], members: NDArray[np.intp]) -> None:
        """Take in ensembles that may be among the best: ``(e,)``, ``(e,)`` and ``(e, k)``."""
        correct = np.concatenate([self.correct, correct])
        balance = np.concatenate([self.balance, balance])
        members = np.concatenate([self.members, members])
        figures = (-correct, -balance) if self._by_balance else (-balance, -correct)
        best = np.lexsort((*members.T[::-1], *figures))[: self.top]
        self.correct, self.balance, self.members = correct[best], balance[best], members[best]
