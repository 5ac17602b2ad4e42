"""Compiled: the best ensembles so far, as a heap with the worst of them at its root."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.lanes import compiled

Ints = NDArray[np.int64]

# Places in ``Best.state``.
SIZE, OFFERED, FLOOR, BY_BALANCE = 0, 1, 2, 3


class Best(NamedTuple):
    """The ``top`` best of the ensembles offered so far, see ``contenders``; of equals the one offered first is better.

    ``correct``, ``balance``, ``offered``: ``(top,)``, the last being the number of those offered before.
    ``members``: ``(top, k)``. ``state``: how many there are, how many were offered, the fewest utterances right with
    which an ensemble may still enter, and whether they are ordered by balance before correct.
    """

    correct: Ints
    balance: Ints
    offered: Ints
    members: Ints
    state: Ints


def make_best(*, top: int, k: int, floor: int, by_balance: bool = False) -> Best:
    """An empty heap."""
    return Best(
        correct=np.zeros(top, dtype=np.int64),
        balance=np.zeros(top, dtype=np.int64),
        offered=np.zeros(top, dtype=np.int64),
        members=np.zeros((top, k), dtype=np.int64),
        state=np.array([0, 0, floor, by_balance], dtype=np.int64),
    )


@compiled
def offer(best: Best, correct: int, balance: int, path: Ints, best_balance: Ints) -> None:
    """Take in the ensemble ``path`` if it is among the best."""
    top = len(best.correct)
    size = best.state[SIZE]
    if size == top and _compare(best, correct, balance, 0) <= 0:
        return
    place = 0 if size == top else size
    best.correct[place] = correct
    best.balance[place] = balance
    best.offered[place] = best.state[OFFERED]
    best.state[OFFERED] += 1
    for vote in range(len(path)):
        best.members[place, vote] = path[vote]
    if size < top:
        best.state[SIZE] = size + 1
        _rise(best, place)
    else:
        _sink(best)
    if best.state[SIZE] == top and best.state[BY_BALANCE]:
        floor = np.searchsorted(best_balance, best.balance[0])
        best.state[FLOOR] = max(best.state[FLOOR], floor + int(best_balance[floor] == best.balance[0]))
    elif best.state[SIZE] == top:
        # What only equals the worst comes too late to replace it; so does all that has as many right, where the
        # worst is as well balanced as can be.
        unbeatable = best.balance[0] >= best_balance[best.correct[0]]
        best.state[FLOOR] = max(best.state[FLOOR], best.correct[0] + int(unbeatable))


@compiled
def _rise(best: Best, place: int) -> None:
    while place > 0:
        parent = (place - 1) // 2
        if not _is_better(best, parent, place):
            break
        _swap(best, parent, place)
        place = parent


@compiled
def _sink(best: Best) -> None:
    place = 0
    while True:
        child = 2 * place + 1
        if child >= len(best.correct):
            break
        if child + 1 < len(best.correct) and _is_better(best, child, child + 1):
            child += 1
        if _is_better(best, child, place):
            break
        _swap(best, child, place)
        place = child


@compiled
def _is_better(best: Best, one: int, other: int) -> bool:
    difference = _compare(best, best.correct[one], best.balance[one], other)
    return difference > 0 or (difference == 0 and bool(best.offered[one] < best.offered[other]))


@compiled
def _compare(best: Best, correct: int, balance: int, place: int) -> int:
    """Above 0 if these figures are better than those at ``place``, 0 if they are the same."""
    by_correct = correct - best.correct[place]
    by_balance = balance - best.balance[place]
    first, second = (by_balance, by_correct) if best.state[BY_BALANCE] else (by_correct, by_balance)
    return int(first if first != 0 else second)


@compiled
def _swap(best: Best, one: int, other: int) -> None:
    best.correct[one], best.correct[other] = best.correct[other], best.correct[one]
    best.balance[one], best.balance[other] = best.balance[other], best.balance[one]
    best.offered[one], best.offered[other] = best.offered[other], best.offered[one]
    for vote in range(best.members.shape[1]):
        best.members[one, vote], best.members[other, vote] = best.members[other, vote], best.members[one, vote]
