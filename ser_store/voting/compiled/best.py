"""Compiled: the best ensembles so far, as a heap with the worst of them at its root."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.jit import compiled_inner

Ints = NDArray[np.int64]

# Places in ``Best.state``.
SIZE, OFFERED, FLOOR, BY_BALANCE = 0, 1, 2, 3
# Columns of ``Best.rows``. Of two rows that is better which is greater in the first of these where they differ.
_FIRST, _SECOND, _EARLINESS, _MEMBERS = 0, 1, 2, 3


class Best(NamedTuple):
    """The best of the ensembles offered so far, see ``top_k``; of equals the one offered first is better.

    ``rows``: ``(top, 3 + k)``, utterances right and balance, or the other way round; less the number of those offered
    before; and the members. ``state``: how many rows there are, how many were offered, the fewest utterances right
    with which an ensemble may still enter, and whether they are ordered by balance before correct.
    """

    rows: Ints
    state: Ints


def make_best(*, top: int, k: int, floor: int, by_balance: bool = False) -> Best:
    """Return an empty heap."""
    return Best(
        rows=np.zeros((top, _MEMBERS + k), dtype=np.int64),
        state=np.array([0, 0, floor, by_balance], dtype=np.int64),
    )


def list_best(best: Best, *, first: int) -> tuple[Ints, Ints, Ints]:
    """Return utterances right, balances and members, whose numbers start at ``first``; in any order."""
    rows = best.rows[: best.state[SIZE]]
    correct, balance = (_SECOND, _FIRST) if best.state[BY_BALANCE] else (_FIRST, _SECOND)
    return rows[:, correct], rows[:, balance], rows[:, _MEMBERS:] - first


@compiled_inner
def offer(best: Best, correct: int, balance: int, path: Ints, best_balance: Ints) -> None:
    """Take in the ensemble ``path`` if it is among the best."""
    rows, state = best.rows, best.state
    top, size = len(rows), state[SIZE]
    first, second = (balance, correct) if state[BY_BALANCE] else (correct, balance)
    if size == top and (first < rows[0, _FIRST] or (first == rows[0, _FIRST] and second <= rows[0, _SECOND])):
        return
    place = 0 if size == top else size
    rows[place, _FIRST], rows[place, _SECOND], rows[place, _EARLINESS] = first, second, -state[OFFERED]
    for vote in range(len(path)):
        rows[place, _MEMBERS + vote] = path[vote]
    state[OFFERED] += 1
    if size < top:
        state[SIZE] = size + 1
        _rise(rows, place)
    else:
        _sink(rows)
    if state[SIZE] < top:
        return
    first, second = rows[0, _FIRST], rows[0, _SECOND]
    if state[BY_BALANCE]:
        floor = np.searchsorted(best_balance, first)
        floor += int(best_balance[floor] == first)
    else:
        # What only equals the worst comes too late to replace it; so does all that has as many right, where the
        # worst is as well balanced as can be.
        floor = first + int(second >= best_balance[first])
    state[FLOOR] = max(state[FLOOR], floor)


@compiled_inner
def _rise(rows: Ints, place: int) -> None:
    while place > 0:
        parent = (place - 1) // 2
        if not _is_better(rows, parent, place):
            break
        _swap(rows, parent, place)
        place = parent


@compiled_inner
def _sink(rows: Ints) -> None:
    place = 0
    while 2 * place + 1 < len(rows):
        child = 2 * place + 1
        if child + 1 < len(rows) and _is_better(rows, child, child + 1):
            child += 1
        if _is_better(rows, child, place):
            break
        _swap(rows, child, place)
        place = child


@compiled_inner
def _is_better(rows: Ints, one: int, other: int) -> bool:
    for column in range(_MEMBERS):
        difference = rows[one, column] - rows[other, column]
        if difference != 0:
            return bool(difference > 0)
    return False


@compiled_inner
def _swap(rows: Ints, one: int, other: int) -> None:
    for column in range(rows.shape[1]):
        rows[one, column], rows[other, column] = rows[other, column], rows[one, column]
