"""The arrays that the compiled hard voting works in, of the sizes that the candidates need; and compiled: the best
ensembles so far, as a heap with the worst of them at its root."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.bit_planes import CodedVotes, Ints, Pack, Tree, Words
from ser_store.voting.compiled.jit import compiled_inner
from ser_store.voting.subsets import Constraints, make_constraints

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


class LastVote(NamedTuple):
    """What the last vote changes, given the second last, for eight candidates at once.

    ``masks``: ``((2 * words + slots) * 8,)``, held, gains and losses. ``places``: ``(3 * (words + slots),)``, of the
    gains and losses that are not empty. ``base``: ``(8,)``, utterances right before these. ``scores``: ``(end,)``,
    utterances right by the last candidate. ``right``: ``(words,)``. ``path``: ``(k,)``, the members.
    """

    masks: Words
    places: Ints
    base: Words
    scores: Words
    right: Words
    path: Ints


class Allowed(NamedTuple):
    """The constraints by the candidates' numbers in the kernel, each ``(end + 1,)``; see ``subsets.Constraints``."""

    following: Ints
    hits: Ints
    later_hits: Ints
    needed: int


class Work(NamedTuple):
    """All that a part of the search reads and writes."""

    candidates: CodedVotes
    allowed: Allowed
    tree: Tree
    pack: Pack
    last_vote: LastVote
    best: Best
    histogram: Ints
    kept: NDArray[np.signedinteger]


def make_work(
    candidates: CodedVotes,
    *,
    constraints: Constraints | None = None,
    top: int,
    floor: int,
    histogram: Ints | None = None,
    kept: NDArray[np.signedinteger] | None = None,
) -> Work:
    """Return what the kernel needs for one part. Without ``kept`` no scores are kept; only pruned search does without a
    ``histogram``."""
    n, r = candidates.margins.shape
    k, n_classes = candidates.k, len(candidates.class_weights)
    n_words = -(-n // 64)
    n_slots = n_words * r
    pack = Pack(
        slots=np.zeros(n_words + 1, dtype=np.int64),
        planes=np.zeros((n_words + n_slots) * candidates.end, dtype=np.uint64),
        reached=np.zeros((n_slots, 9), dtype=np.uint64),
        middle=np.zeros((n_slots, 5), dtype=np.uint64),
        valid=np.zeros(n_words, dtype=np.uint64),
        classes=np.zeros((n_words, n_classes), dtype=np.uint64),
        order=np.zeros(n, dtype=np.int64),
        relevant=np.zeros((n, r), dtype=np.int64),
        n_relevant=np.zeros(n, dtype=np.int64),
    )
    last_vote = LastVote(
        masks=np.zeros((2 * n_words + n_slots) * 8, dtype=np.uint64),
        places=np.zeros(3 * (n_words + n_slots), dtype=np.int64),
        base=np.zeros(8, dtype=np.uint64),
        scores=np.zeros(candidates.end, dtype=np.uint64),
        right=np.zeros(n_words, dtype=np.uint64),
        path=np.zeros(k, dtype=np.int64),
    )
    return Work(
        candidates=candidates,
        allowed=number_from(candidates.first, candidates.end, constraints),
        tree=make_tree(candidates),
        pack=pack,
        last_vote=last_vote,
        best=make_best(top=top, k=k, floor=floor, by_balance=candidates.by_balance),
        histogram=np.empty(0, dtype=np.int64) if histogram is None else histogram,
        kept=np.empty(0, dtype=np.int16) if kept is None else kept,
    )


def number_from(first: int, end: int, constraints: Constraints | None) -> Allowed:
    """Return the constraints, or those that allow all, by the numbers of candidates ``first..end-1``."""
    constraints = constraints or make_constraints(end - first)
    nobody = np.zeros(first, dtype=np.int64)
    return Allowed(
        following=np.concatenate([nobody, constraints.following + first, [0]]),
        hits=np.concatenate([nobody, constraints.hits, [0]]),
        later_hits=np.concatenate([nobody, constraints.later_hits]),
        needed=constraints.needed,
    )


def make_tree(candidates: CodedVotes) -> Tree:
    """Return a tree whose first row is that of no votes."""
    n, r = candidates.margins.shape
    depth = max(0, candidates.k - 3) + 2
    tree = Tree(
        utterances=np.empty((depth, n), dtype=np.int64),
        margins=np.empty((depth, n, r), dtype=np.int16),
        counts=np.zeros(depth, dtype=np.int64),
        correct=np.zeros(depth, dtype=np.int64),
        balance=np.zeros(depth, dtype=np.int64),
    )
    tree.utterances[0] = np.arange(n)
    tree.margins[0] = candidates.margins
    tree.counts[0] = n
    return tree


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
