"""What a search keeps of the ensembles it has seen: how many had how many right, and the best few in order.

The order: more right first, then the higher balanced accuracy, then the members' indices lexicographically. Nothing
of it depends on the order in which the ensembles are seen.
"""

from math import lcm

import numpy as np
from numpy.typing import NDArray


def weigh_utterances(truth: NDArray[np.intp], n_classes: int) -> NDArray[np.int64]:
    """What each utterance adds to the balance, ``(n,)`` int64: an integer that orders as balanced accuracy does.

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


class Tally:
    """The histogram of all ensembles seen and the ``top`` best of them, in order.

    Attributes:
        histogram: ``(n + 1,)`` int64, ensembles by number of utterances right.
        correct: ``(t,)`` int64, utterances right of the best, ``t <= top``.
        balance: ``(t,)`` int64, see :func:`weigh_utterances`.
        members: ``(t, k)`` ascending indices of candidates.
    """

    def __init__(self, *, n: int, k: int, top: int) -> None:
        self.top = top
        self.histogram = np.zeros(n + 1, dtype=np.int64)
        self.correct = np.empty(0, dtype=np.int64)
        self.balance = np.empty(0, dtype=np.int64)
        self.members = np.empty((0, k), dtype=np.intp)

    @property
    def floor(self) -> int:
        """Ensembles with fewer utterances right cannot be among the best any more."""
        return int(self.correct[-1]) if len(self.correct) == self.top else 0

    def offer(self, correct: NDArray[np.int64], balance: NDArray[np.int64], members: NDArray[np.intp]) -> None:
        """Take in contenders: ``(e,)``, ``(e,)`` and ``(e, k)``."""
        correct = np.concatenate([self.correct, correct])
        balance = np.concatenate([self.balance, balance])
        members = np.concatenate([self.members, members])
        best = np.lexsort((*members.T[::-1], -balance, -correct))[: self.top]
        self.correct, self.balance, self.members = correct[best], balance[best], members[best]
