"""The compiled search by hard voting (tie rules ``lowest`` and ``abstain``): bit-sliced, eight ensembles at a time.

Of an utterance only the margins of the truth over its rivals matter (see ``margins``), and of its rivals only the
classes that some candidate votes for. Members are added in ascending order. After each, an utterance is *settled* if
no votes that the remaining candidates can still give make a margin negative (right), or all of them not negative
(wrong); settled utterances are counted once and leave the subtree.

With three votes to go, the utterances left are packed 64 to a word: a *plane* for each word holds one bit per
utterance for every candidate, those who vote for the truth; one more for each *slot*, a rival that can still win.
Margins become bits as well: whether they are at least -3, -2, … 3. The third last vote shifts these once for all
ensembles below it. The second last vote is taken for eight candidates at once, which leaves of every word

- ``held``: right as things stand,
- ``gains``: not right, but right with one more vote for the truth,
- ``losses`` of every slot: right, but not after one more vote for this rival,

so that the last vote, again of eight candidates at once, costs one popcount for each word and slot that is not empty:
``correct = settled + count(held) + sum count(gains & votes for truth) - sum count(losses & votes for rival)``.
"""

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.bit_planes import (
    Ints,
    Words,
    add_root,
    pack_utterances,
    vote_middle,
)
from ser_store.voting.compiled.jit import compiled, compiled_inline, compiled_inner
from ser_store.voting.compiled.simd import (
    broadcast,
    count_bits,
    find_reaching,
    get,
    increment,
    load,
    put,
    splat,
    store,
)
from ser_store.voting.compiled.workspace import FLOOR, Work, offer

_ONE = np.uint64(1)
# A term is three numbers: the place of its plane, the place of its masks, and its word.
TERM_PLANE, TERM_MASK, TERM_WORD, TERM = 0, 1, 2, 3


@compiled
def search_part(work: Work, roots: Ints, first_middle: int, end_middle: int) -> None:
    """Vote every ensemble that is allowed, begins with one of ``roots`` and goes on with a candidate in
    ``first_middle..end_middle-1``.

    They are scored in lexicographic order. The histogram is ``((n + 1) * 8,)``: ensembles by utterances right, then by
    lane. ``kept`` takes the scores of all ensembles of the part, or is empty.

    Args:
        roots: ``(e, k - 3)``, ascending; consecutive ones that begin alike share that work. ``(1, 0)`` for ``k = 2``,
            where there is no third last candidate to choose.
    """
    # The arrays that the innermost loops need are taken out of their tuples here, once: it costs a reference count.
    candidates, tree, pack, path = work.candidates, work.tree, work.pack, work.last_vote.path
    planes, slots, valid, reached, middle = pack.planes, pack.slots, pack.valid, pack.reached, pack.middle
    last_vote = work.last_vote
    masks, places, base, scores = last_vote.masks, last_vote.places, last_vote.base, last_vote.scores
    state, histogram, kept = work.best.state, work.histogram, work.kept
    following, hits, later_hits = work.allowed.following, work.allowed.hits, work.allowed.later_hits
    needed = work.allowed.needed
    n_kept = 0
    end = candidates.end
    n_rooted = roots.shape[1]
    votes_left = candidates.k - n_rooted
    row = n_rooted + 1
    for number in range(len(roots)):
        root = add_root(candidates, tree, roots, number, path)
        held_by_root = np.int64(0)
        begin = candidates.first
        for depth in range(n_rooted):
            held_by_root |= hits[path[depth]]
            begin = following[path[depth]]
        settled = tree.correct[row]
        n_words = pack_utterances(candidates, tree, pack, row, root, votes_left)
        stop = root + 1
        if votes_left == 3:
            begin, stop = max(begin, first_middle), min(end - 2, end_middle)
        else:
            begin = root
        for third_last in range(begin, stop):
            held, after = held_by_root, candidates.first
            if votes_left == 3:
                if (held | later_hits[third_last]) != needed:
                    break
                path[n_rooted] = third_last
                held, after = held | hits[third_last], following[third_last]
            vote_middle(planes, slots, reached, middle, n_words, third_last, end, votes_left)
            for block in range(after // 8 * 8, end - 1, 8):
                if (held | later_hits[max(block, after)]) != needed:
                    break
                n_gains, n_losses = vote_second_last(
                    planes, slots, valid, middle, masks, places, base, settled, n_words, block, end
                )
                for second_last in range(max(block, after), min(block + 8, end - 1)):
                    last = get(following, second_last)
                    held_by_all = held | get(hits, second_last)
                    if (held_by_all | get(later_hits, last)) != needed:
                        continue
                    reaches = vote_last(
                        planes, masks, places, base, scores, state, n_words, n_gains, n_losses, second_last, end
                    )
                    if held_by_all == needed:
                        count_scores(histogram, scores, last - 1, end)
                    else:
                        count_allowed(histogram, scores, hits, held_by_all, needed, last, end)
                    n_kept = keep_scores(kept, n_kept, scores, second_last, end)
                    # Those that are not allowed may be among these.
                    if reaches:
                        consider(work, held_by_all, row, n_words, n_gains, n_losses, second_last)


@compiled_inline
def vote_second_last(
    planes: Words,
    slots: Ints,
    valid: Words,
    middle: Words,
    masks: Words,
    places: Ints,
    base: Words,
    settled: int,
    n_words: int,
    block: int,
    end: int,
) -> tuple[int, int]:
    """Compute the masks given the vote of each candidate in ``block..block+7``; return how many gains and losses."""
    correct = splat(np.uint64(settled))
    n_gains = 0
    n_losses = 0
    for word in range(n_words):
        for_truth = load(planes, word * end + block)
        with_truth = splat(get(valid, word))
        held = with_truth
        begin, stop = get(slots, word), get(slots, word + 1)
        for slot in range(begin, stop):
            against = load(planes, (n_words + slot) * end + block)
            neither = ~(for_truth | against)
            margins = 5 * slot
            from_minus_2, from_minus_1 = broadcast(middle, margins), broadcast(middle, margins + 1)
            from_0, from_1, from_2 = (
                broadcast(middle, margins + 2),
                broadcast(middle, margins + 3),
                broadcast(middle, margins + 4),
            )
            with_truth = with_truth & ((for_truth & from_minus_2) | (neither & from_minus_1) | (against & from_0))
            held = held & ((for_truth & from_minus_1) | (neither & from_0) | (against & from_1))
            lost = ~((for_truth & from_0) | (neither & from_1) | (against & from_2))
            store(masks, (2 * n_words + slot) * 8, lost)
        correct = correct + count_bits(held)
        store(masks, word * 8, held)
        gains = with_truth & ~held
        store(masks, (n_words + word) * 8, gains)
        if find_reaching(gains, _ONE):
            put(places, TERM * n_gains + TERM_PLANE, word * end)
            put(places, TERM * n_gains + TERM_MASK, (n_words + word) * 8)
            put(places, TERM * n_gains + TERM_WORD, word)
            n_gains += 1
        for slot in range(begin, stop):
            losses = load(masks, (2 * n_words + slot) * 8) & held
            store(masks, (2 * n_words + slot) * 8, losses)
            if find_reaching(losses, _ONE):
                put(places, TERM * (n_words + n_losses) + TERM_PLANE, (n_words + slot) * end)
                put(places, TERM * (n_words + n_losses) + TERM_MASK, (2 * n_words + slot) * 8)
                put(places, TERM * (n_words + n_losses) + TERM_WORD, word)
                n_losses += 1
    store(base, 0, correct)
    return n_gains, n_losses


@compiled_inline
def vote_last(
    planes: Words,
    masks: Words,
    places: Ints,
    base: Words,
    scores: Words,
    state: Ints,
    n_words: int,
    n_gains: int,
    n_losses: int,
    second_last: int,
    end: int,
) -> bool:
    """Score every ensemble that ends with a candidate after ``second_last``; returns whether one may be a best."""
    lane = second_last & 7
    reaching = np.uint64(0)
    for block in range((second_last + 1) // 8 * 8, end, 8):
        correct = broadcast(base, lane)
        for term in range(0, TERM * n_gains, TERM):
            votes = load(planes, get(places, term + TERM_PLANE) + block)
            correct = correct + count_bits(votes & broadcast(masks, get(places, term + TERM_MASK) + lane))
        for term in range(TERM * n_words, TERM * (n_words + n_losses), TERM):
            votes = load(planes, get(places, term + TERM_PLANE) + block)
            correct = correct - count_bits(votes & broadcast(masks, get(places, term + TERM_MASK) + lane))
        store(scores, block, correct)
        reaching |= find_reaching(correct, np.uint64(get(state, FLOOR)))
    return bool(reaching != 0)


@compiled_inline
def count_scores(histogram: Ints, scores: Words, second_last: int, end: int) -> None:
    """Count the scores of the candidates after ``second_last`` in the histogram."""
    # A histogram for every lane: increments of one place in a row would wait for each other.
    full = (second_last + 8) // 8 * 8
    for last in range(second_last + 1, full):
        increment(histogram, 8 * np.int64(get(scores, last)) + (last & 7))
    for block in range(full, end, 8):
        increment(histogram, 8 * np.int64(get(scores, block)))
        increment(histogram, 8 * np.int64(get(scores, block + 1)) + 1)
        increment(histogram, 8 * np.int64(get(scores, block + 2)) + 2)
        increment(histogram, 8 * np.int64(get(scores, block + 3)) + 3)
        increment(histogram, 8 * np.int64(get(scores, block + 4)) + 4)
        increment(histogram, 8 * np.int64(get(scores, block + 5)) + 5)
        increment(histogram, 8 * np.int64(get(scores, block + 6)) + 6)
        increment(histogram, 8 * np.int64(get(scores, block + 7)) + 7)


@compiled_inner
def count_allowed(histogram: Ints, scores: Words, hits: Ints, held: int, needed: int, begin: int, end: int) -> None:
    """Count the scores of those candidates from ``begin`` on that complete what is ``held`` in the histogram."""
    for last in range(begin, end):
        if (held | hits[last]) == needed:
            histogram[8 * np.int64(scores[last]) + (last & 7)] += 1


@compiled_inline
def keep_scores(kept: NDArray[np.signedinteger], n_kept: int, scores: Words, second_last: int, end: int) -> int:
    """Put the scores of the candidates after ``second_last`` behind those kept; returns how many these are then."""
    if len(kept) == 0:
        return 0
    for last in range(second_last + 1, end):
        put(kept, n_kept, kept.dtype.type(get(scores, last)))
        n_kept += 1
    return n_kept


@compiled_inline
def consider(work: Work, held: int, row: int, n_words: int, n_gains: int, n_losses: int, second_last: int) -> None:
    """Offer the allowed ensembles that end with a candidate after ``second_last`` and may be among the best, with their
    balance; their members up to ``second_last`` hit what is ``held``."""
    candidates, pack, terms, best = work.candidates, work.pack, work.last_vote, work.best
    scores, path, allowed = terms.scores, terms.path, work.allowed
    path[candidates.k - 2] = second_last
    for last in range(allowed.following[second_last], candidates.end):
        correct = int(scores[last])
        if correct < best.state[FLOOR] or (held | allowed.hits[last]) != allowed.needed:
            continue
        path[candidates.k - 1] = last
        balance = work.tree.balance[row] + weigh(
            pack.planes, pack.classes, terms.masks, terms.places, terms.right, candidates.class_weights,
            n_words, n_gains, n_losses, second_last & 7, last,
        )  # fmt: skip
        offer(best, correct, balance, path, candidates.best_balance)


@compiled_inner
def weigh(
    planes: Words,
    classes: Words,
    masks: Words,
    places: Ints,
    right: Words,
    class_weights: Ints,
    n_words: int,
    n_gains: int,
    n_losses: int,
    lane: int,
    last: int,
) -> int:
    """Return the balance that the packed utterances add to an ensemble."""
    for word in range(n_words):
        right[word] = masks[word * 8 + lane]
    for term in range(0, TERM * n_gains, TERM):
        right[places[term + TERM_WORD]] |= (
            planes[places[term + TERM_PLANE] + last] & masks[places[term + TERM_MASK] + lane]
        )
    for term in range(TERM * n_words, TERM * (n_words + n_losses), TERM):
        right[places[term + TERM_WORD]] &= ~(
            planes[places[term + TERM_PLANE] + last] & masks[places[term + TERM_MASK] + lane]
        )
    balance = 0
    for word in range(n_words):
        for label in range(len(class_weights)):
            balance += np.int64(count_bits(right[word] & classes[word, label])) * class_weights[label]
    return balance
