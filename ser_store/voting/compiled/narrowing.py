"""Compiled: the utterances whose outcome later votes can still change, with the sums of their margins.

See ``summing`` for what it is about.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.jit import compiled_inline, compiled_inner
from ser_store.voting.compiled.simd import (
    broadcast,
    find_first,
    find_negative,
    get,
    load,
    put,
    shift_right,
    splat,
    store,
)

Ints = NDArray[np.int64]


class Summands(NamedTuple):
    """What each candidate adds to the margins. CodedVotes are numbered ``first..end-1``; ``end`` is a multiple of 8.

    A *pair* is an utterance with one of the rivals of its truth. ``margins``: ``(pairs * end,)``, what a candidate
    adds. ``lowest``, ``highest``: ``(pairs * end,)``, the extremes of what the candidates after it add. ``starts``:
    ``(u + 1,)``, where the pairs of each of the ``u`` utterances begin that are not settled before any vote;
    ``sums``: ``(pairs,)``, their margins of no votes; ``correct`` and ``balance`` of those that are settled.
    ``weights``: ``(n,)``, of the ``u`` first; ``best_balance``: ``(n + 1,)``, see ``top_k``.
    """

    k: int
    first: int
    end: int
    margins: Ints
    lowest: Ints
    highest: Ints
    starts: Ints
    sums: Ints
    correct: int
    balance: int
    weights: Ints
    best_balance: Ints
    by_balance: bool


class Narrowed(NamedTuple):
    """By row, the number of votes: the ``counts`` utterances not settled, their pairs, and those settled as right.

    ``utterances``: ``(rows, u)``. ``starts``: ``(rows, u + 1)``. ``pairs``, ``sums``: ``(rows, pairs)``.
    """

    utterances: Ints
    starts: Ints
    pairs: Ints
    sums: Ints
    counts: Ints
    correct: Ints
    balance: Ints


class Open(NamedTuple):
    """For eight second last members, a *lane* each: the utterances that the last vote decides, and the others.

    ``places`` and ``sums``: ``(8 * pairs,)``, by lane; where the margins of a pair begin, and their sum. Utterances
    with one rival left fill a lane from its beginning, ``n_single``; those with several from its end, ``n_several``
    rivals, the last of each utterance marked by ``is_last``. ``correct``: ``(8,)``, right if all those that are open
    were. ``with_vote``, ``at_worst``: ``(8 * rivals,)``, of one utterance.
    """

    places: Ints
    sums: Ints
    is_last: Ints
    n_single: Ints
    n_several: Ints
    correct: Ints
    with_vote: Ints
    at_worst: Ints


@compiled_inner
def narrow(summands: Summands, narrowed: Narrowed, row: int, member: int) -> None:
    """Compute row ``row + 1`` from ``row`` by the vote of ``member``."""
    margins, lowest, highest = summands.margins, summands.lowest, summands.highest
    utterances, starts, pairs, sums = narrowed.utterances, narrowed.starts, narrowed.pairs, narrowed.sums
    weights, end = summands.weights, summands.end
    votes_left = summands.k - row - 1
    n_utterances, n_pairs = 0, 0
    correct, balance = narrowed.correct[row], narrowed.balance[row]
    for number in range(narrowed.counts[row]):
        begin = n_pairs
        is_wrong = False
        for index in range(starts[row, number], starts[row, number + 1]):
            pair = pairs[row, index]
            place = pair * end + member
            total = sums[row, index] + margins[place]
            if total + votes_left * highest[place] < 0:
                is_wrong = True
                break
            if total + votes_left * lowest[place] < 0:
                pairs[row + 1, n_pairs] = pair
                sums[row + 1, n_pairs] = total
                n_pairs += 1
        utterance = utterances[row, number]
        if is_wrong:
            n_pairs = begin
        elif n_pairs == begin:
            correct += 1
            balance += weights[utterance]
        else:
            utterances[row + 1, n_utterances] = utterance
            n_utterances += 1
            starts[row + 1, n_utterances] = n_pairs
    narrowed.counts[row + 1] = n_utterances
    narrowed.correct[row + 1] = correct
    narrowed.balance[row + 1] = balance


@compiled_inline
def open_lanes(summands: Summands, narrowed: Narrowed, opened: Open, row: int, block: int, lanes: np.uint64) -> None:
    """Find what the last vote decides after each of eight candidates from ``block`` on; ``lanes`` are bits."""
    margins, lowest, highest = summands.margins, summands.lowest, summands.highest
    starts, pairs, sums = narrowed.starts, narrowed.pairs, narrowed.sums
    with_vote, at_worst, end = opened.with_vote, opened.at_worst, summands.end
    opened.n_single[:] = 0
    opened.n_several[:] = 0
    lost = splat(np.uint64(0))
    sign = np.uint64(63)
    first_of_row = row * sums.shape[1]
    first_start = row * starts.shape[1]
    for number in range(narrowed.counts[row]):
        begin, stop = get(starts, first_start + number), get(starts, first_start + number + 1)
        at_best = splat(np.uint64(0))
        unsure = splat(np.uint64(0))
        for index in range(begin, stop):
            place = get(pairs, first_of_row + index) * end + block
            total = broadcast(sums, first_of_row + index) + load(margins, place)
            worst = total + load(lowest, place)
            at_best = at_best | (total + load(highest, place))
            unsure = unsure | worst
            store(with_vote, (index - begin) * 8, total)
            store(at_worst, (index - begin) * 8, worst)
        # The sign of an or is that of any: a margin below 0 loses.
        lost = lost + shift_right(at_best, sign)
        undecided = find_negative(unsure & ~at_best) & lanes
        if undecided:
            _open_utterance(opened, pairs, first_of_row + begin, stop - begin, end, undecided)
    store(opened.correct, 0, splat(np.uint64(narrowed.correct[row] + narrowed.counts[row])) - lost)


@compiled_inline
def _open_utterance(opened: Open, pairs: Ints, first: int, n_rivals: int, end: int, undecided: np.uint64) -> None:
    """Take one utterance into the lanes that are ``undecided``, as bits."""
    places, sums, is_last = opened.places, opened.sums, opened.is_last
    with_vote, at_worst = opened.with_vote, opened.at_worst
    size = len(places) // 8
    while undecided:
        lane = find_first(undecided)
        undecided &= undecided - np.uint64(1)
        n_open = 0
        single = 0
        for rival in range(n_rivals):
            if get(at_worst, rival * 8 + lane) < 0:
                n_open += 1
                single = rival
        if n_open == 1:
            target = lane * size + get(opened.n_single, lane)
            put(places, target, get(pairs, first + single) * end)
            put(sums, target, get(with_vote, single * 8 + lane))
            put(opened.n_single, lane, get(opened.n_single, lane) + 1)
            continue
        target = (lane + 1) * size - get(opened.n_several, lane)
        for rival in range(n_rivals):
            if get(at_worst, rival * 8 + lane) < 0:
                target -= 1
                put(places, target, get(pairs, first + rival) * end)
                put(sums, target, get(with_vote, rival * 8 + lane))
                put(is_last, target, 0)
        put(is_last, target, 1)
        put(opened.n_several, lane, get(opened.n_several, lane) + n_open)
