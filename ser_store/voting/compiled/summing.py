"""The compiled search by sums: soft voting, by probabilities or their logarithms, and weighted hard voting.

Of an utterance only the margins of the truth over its rivals matter: sums over the members of whole numbers, below 0
where the rival wins (see ``margins``). Members are added in ascending order. After each, a rival is dropped that no
votes that are left can make win, and an utterance is *settled* that has no rival left (right), or one that none can
keep from winning (wrong); what one vote can do at most is tabled for the candidates after each candidate. Settled
utterances are counted once and leave the subtree.

The second last vote is taken for eight candidates at once, which leaves for each the few margins that the last vote
decides. That is again taken for eight candidates at once, at an addition for each of these margins: the sign of their
sum, or of all rivals' sums together, is the count of an utterance lost.

Where nothing is counted, beginnings are left out that too few utterances are right after, even if all that are not
settled were; and so are those that constraints rule out.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.jit import compiled, compiled_inline, compiled_inner
from ser_store.voting.compiled.kernel import count_scores, keep_scores
from ser_store.voting.compiled.narrowing import Ints, Narrowed, Open, Summands, narrow, open_lanes
from ser_store.voting.compiled.simd import (
    broadcast,
    find_reaching,
    get,
    load,
    shift_right,
    splat,
    store,
)
from ser_store.voting.compiled.workspace import FLOOR, Allowed, Best, offer


class SumWork(NamedTuple):
    """All that a part of the search reads and writes; see ``Work`` and ``LastVote`` of ``kernel``.

    An empty ``histogram`` counts nothing.
    """

    summands: Summands
    allowed: Allowed
    narrowed: Narrowed
    opened: Open
    scores: NDArray[np.uint64]
    path: Ints
    best: Best
    histogram: Ints
    kept: NDArray[np.signedinteger]


@compiled
def search_part_by_sums(work: SumWork, roots: Ints, first_middle: int, end_middle: int) -> None:
    """Vote every ensemble that begins with one of ``roots``, then a candidate in ``first_middle..end_middle-1``.

    Arguments and order are those of ``kernel.search_part``.
    """
    summands, narrowed, path = work.summands, work.narrowed, work.path
    first, end = summands.first, summands.end
    n_rooted = roots.shape[1]
    n_kept = 0
    for number in range(len(roots)):
        same = number > 0
        root = first - 1
        for depth in range(n_rooted):
            root = roots[number, depth]
            same = same and root == roots[number - 1, depth]
            path[depth] = root
            if not same:
                narrow(summands, narrowed, depth, root)
        if _is_hopeless(work, n_rooted):
            continue
        if summands.k == 2:
            n_kept = _vote_two(work, 0, root, n_kept)
            continue
        for third_last in range(max(_follow(work, root), first_middle), min(end - 2, end_middle)):
            path[n_rooted] = third_last
            narrow(summands, narrowed, n_rooted, third_last)
            if not _is_hopeless(work, n_rooted + 1):
                n_kept = _vote_two(work, n_rooted + 1, third_last, n_kept)


@compiled_inner
def _follow(work: SumWork, member: int) -> int:
    """Return the first candidate that may come after ``member``, or after nobody."""
    return int(work.allowed.following[member]) if member >= work.summands.first else work.summands.first


@compiled_inner
def _is_hopeless(work: SumWork, row: int) -> bool:
    """Return whether nothing is counted, and no ensemble that begins so can be among the best."""
    narrowed = work.narrowed
    return len(work.histogram) == 0 and narrowed.correct[row] + narrowed.counts[row] < work.best.state[FLOOR]


@compiled_inner
def _vote_two(work: SumWork, row: int, before: int, n_kept: int) -> int:
    """Add the last two votes, of candidates after ``before``; returns how many scores are kept then."""
    opened, scores, state, histogram, kept = work.opened, work.scores, work.best.state, work.histogram, work.kept
    margins, places, sums, is_last = work.summands.margins, opened.places, opened.sums, opened.is_last
    n_single, n_several, correct = opened.n_single, opened.n_several, opened.correct
    end = work.summands.end
    counts, after = len(histogram) > 0, _follow(work, before)
    for block in range(after // 8 * 8, end, 8):
        begin, stop = max(after, block), min(block + 8, end - 1)
        if begin >= stop:
            continue
        lanes = np.uint64((1 << (stop - block)) - (1 << (begin - block)))
        open_lanes(work.summands, work.narrowed, opened, row, block, lanes)
        for second_last in range(begin, stop):
            lane = second_last - block
            if not counts and get(correct, lane) < get(state, FLOOR):
                continue
            reaches = _vote_last(
                margins, places, sums, is_last, scores, correct, lane, get(n_single, lane), get(n_several, lane),
                second_last, end, get(state, FLOOR),
            )  # fmt: skip
            if counts:
                count_scores(histogram, scores, second_last, end)
            n_kept = keep_scores(kept, n_kept, scores, second_last, end)
            if reaches:
                _consider(work, row, second_last)
    return n_kept


@compiled_inline
def _vote_last(
    margins: Ints,
    places: Ints,
    sums: Ints,
    is_last: Ints,
    scores: NDArray[np.uint64],
    correct: Ints,
    lane: int,
    n_single: int,
    n_several: int,
    second_last: int,
    end: int,
    floor: int,
) -> bool:
    """Score every ensemble that ends with a candidate after ``second_last``; returns whether one may be a best."""
    size = len(places) // 8
    sign = np.uint64(63)
    reaching = np.uint64(0)
    for block in range((second_last + 1) // 8 * 8, end, 8):
        lost = splat(np.uint64(0))
        for term in range(lane * size, lane * size + n_single):
            lost = lost + shift_right(load(margins, get(places, term) + block) + broadcast(sums, term), sign)
        beaten = splat(np.uint64(0))
        for term in range((lane + 1) * size - 1, (lane + 1) * size - 1 - n_several, -1):
            beaten = beaten | (load(margins, get(places, term) + block) + broadcast(sums, term))
            if get(is_last, term):
                lost = lost + shift_right(beaten, sign)
                beaten = splat(np.uint64(0))
        right = broadcast(correct, lane) - lost
        store(scores, block, right)
        reaching |= find_reaching(right, np.uint64(floor))
    return bool(reaching != 0)


@compiled_inner
def _consider(work: SumWork, row: int, second_last: int) -> None:
    """Offer the allowed ensembles that end with a candidate after ``second_last`` and may be among the best."""
    summands, path, best, allowed = work.summands, work.path, work.best, work.allowed
    path[summands.k - 2] = second_last
    held = 0
    for place in range(summands.k - 1):
        held |= allowed.hits[path[place]]
    for last in range(_follow(work, second_last), summands.end):
        correct = int(work.scores[last])
        if correct >= best.state[FLOOR] and held | allowed.hits[last] == allowed.needed:
            path[summands.k - 1] = last
            balance = _weigh(summands, work.narrowed, row, second_last, last)
            offer(best, correct, balance, path, summands.best_balance)


@compiled_inner
def _weigh(summands: Summands, narrowed: Narrowed, row: int, second_last: int, last: int) -> int:
    """Return the balance of an ensemble."""
    margins, end = summands.margins, summands.end
    balance = narrowed.balance[row]
    for number in range(narrowed.counts[row]):
        is_right = True
        for index in range(narrowed.starts[row, number], narrowed.starts[row, number + 1]):
            place = narrowed.pairs[row, index] * end
            total = narrowed.sums[row, index] + margins[place + second_last] + margins[place + last]
            is_right = is_right and total >= 0
        if is_right:
            balance += summands.weights[narrowed.utterances[row, number]]
    return int(balance)
