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

from typing import NamedTuple

import numpy as np

from ser_store.voting.best import FLOOR, Best, offer
from ser_store.voting.lanes import (
    broadcast,
    compiled,
    compiled_inline,
    count_bits,
    find_reaching,
    get,
    increment,
    load,
    shift_left,
    splat,
    store,
)
from ser_store.voting.packing import Candidates, Ints, Pack, Tree, Words, add_vote, pack_utterances, vote_middle

_ONE = np.uint64(1)
# A term is three numbers: the place of its plane, the place of its masks, and its word.
_PLANE, _MASK, _WORD, _TERM = 0, 1, 2, 3


class Terms(NamedTuple):
    """What the last vote changes, for eight second last candidates at once: ``(words * 8,)`` and ``(slots * 8,)``.

    ``gain_terms``, ``loss_terms``: those that are not empty, three numbers each. ``base``, ``bins``: ``(8,)``.
    ``right``: ``(words,)``. ``path``: ``(k,)``, the members.
    """

    held: Words
    gains: Words
    losses: Words
    gain_terms: Ints
    loss_terms: Ints
    base: Words
    bins: Words
    right: Words
    path: Ints


@compiled
def search_part(
    candidates: Candidates,
    tree: Tree,
    pack: Pack,
    terms: Terms,
    best: Best,
    histogram: Ints,
    roots: Ints,
    first_middle: int,
    end_middle: int,
) -> None:
    """Every ensemble that begins with one of ``roots`` and goes on with a candidate in ``first_middle..end_middle-1``.

    Args:
        roots: ``(e, k - 3)``, ascending; consecutive ones that begin alike share that work. ``(1, 0)`` for ``k = 2``,
            where the other two are ignored.
        histogram: ``((n + 1) * 8,)``, ensembles by utterances right, then by lane.
    """
    n_rooted = roots.shape[1]
    votes_left = candidates.k - n_rooted
    for number in range(len(roots)):
        same = number > 0
        member = candidates.first - 1
        for depth in range(n_rooted + 1):
            if depth > 0:
                member = roots[number, depth - 1]
                same = same and member == roots[number - 1, depth - 1]
                terms.path[depth - 1] = member
            if not same:
                add_vote(candidates, tree, depth, member)
        row = n_rooted + 1
        n_words = pack_utterances(candidates, tree, pack, row, member, votes_left)
        begin, stop = max(member + 1, first_middle), min(candidates.end - 2, end_middle)
        if votes_left == 2:
            begin, stop = member, member + 1
        for middle in range(begin, stop):
            vote_middle(candidates, pack, n_words, middle, votes_left)
            if votes_left == 3:
                terms.path[n_rooted] = middle
            vote_last_two(candidates, tree, pack, terms, best, histogram, row, n_words, middle)


@compiled_inline
def vote_last_two(
    candidates: Candidates,
    tree: Tree,
    pack: Pack,
    terms: Terms,
    best: Best,
    histogram: Ints,
    row: int,
    n_words: int,
    member: int,
) -> None:
    """Every ensemble that goes on with two candidates after ``member``, by the margins in ``pack.middle``."""
    for block in range((member + 1) // 8 * 8, candidates.end - 1, 8):
        n_gains, n_losses = vote_second_last(candidates, pack, terms, tree.correct[row], n_words, block)
        for lane in range(max(0, member + 1 - block), min(8, candidates.end - 1 - block)):
            terms.path[candidates.k - 2] = block + lane
            vote_last(candidates, tree, pack, terms, best, histogram, row, n_words, block + lane, n_gains, n_losses)


@compiled_inline
def vote_second_last(
    candidates: Candidates, pack: Pack, terms: Terms, settled: int, n_words: int, block: int
) -> tuple[int, int]:
    """What the last vote changes, given the second last of candidates ``block..block+7``; returns how many terms."""
    base = splat(np.uint64(settled))
    n_gains = 0
    n_losses = 0
    for word in range(n_words):
        for_truth = load(pack.planes, word * candidates.end + block)
        # Right after a last vote for the truth, and right as things stand.
        with_truth = splat(pack.valid[word])
        held = with_truth
        for slot in range(pack.slots[word], pack.slots[word + 1]):
            against = load(pack.planes, (n_words + slot) * candidates.end + block)
            neither = ~(for_truth | against)
            from_minus_2, from_minus_1 = splat(pack.middle[0, slot]), splat(pack.middle[1, slot])
            from_0, from_1, from_2 = (
                splat(pack.middle[2, slot]),
                splat(pack.middle[3, slot]),
                splat(pack.middle[4, slot]),
            )
            with_truth = with_truth & ((for_truth & from_minus_2) | (neither & from_minus_1) | (against & from_0))
            held = held & ((for_truth & from_minus_1) | (neither & from_0) | (against & from_1))
            store(terms.losses, slot * 8, ~((for_truth & from_0) | (neither & from_1) | (against & from_2)))
        gains = with_truth & ~held
        store(terms.gains, word * 8, gains)
        store(terms.held, word * 8, held)
        base = base + count_bits(held)
        if find_reaching(gains, _ONE):
            terms.gain_terms[_TERM * n_gains + _PLANE] = word * candidates.end
            terms.gain_terms[_TERM * n_gains + _MASK] = word * 8
            terms.gain_terms[_TERM * n_gains + _WORD] = word
            n_gains += 1
        for slot in range(pack.slots[word], pack.slots[word + 1]):
            losses = load(terms.losses, slot * 8) & held
            store(terms.losses, slot * 8, losses)
            if find_reaching(losses, _ONE):
                terms.loss_terms[_TERM * n_losses + _PLANE] = (n_words + slot) * candidates.end
                terms.loss_terms[_TERM * n_losses + _MASK] = slot * 8
                terms.loss_terms[_TERM * n_losses + _WORD] = word
                n_losses += 1
    store(terms.base, 0, base)
    return n_gains, n_losses


@compiled_inline
def vote_last(
    candidates: Candidates,
    tree: Tree,
    pack: Pack,
    terms: Terms,
    best: Best,
    histogram: Ints,
    row: int,
    n_words: int,
    second_last: int,
    n_gains: int,
    n_losses: int,
) -> None:
    """Every ensemble that ends with a candidate after ``second_last``, into the histogram and among the best."""
    lane = second_last & 7
    base = broadcast(terms.base, lane)
    for block in range((second_last + 1) // 8 * 8, candidates.end, 8):
        correct = base
        for term in range(0, _TERM * n_gains, _TERM):
            votes = load(pack.planes, get(terms.gain_terms, term + _PLANE) + block)
            mask = broadcast(terms.gains, get(terms.gain_terms, term + _MASK) + lane)
            correct = correct + count_bits(votes & mask)
        for term in range(0, _TERM * n_losses, _TERM):
            votes = load(pack.planes, get(terms.loss_terms, term + _PLANE) + block)
            mask = broadcast(terms.losses, get(terms.loss_terms, term + _MASK) + lane)
            correct = correct - count_bits(votes & mask)
        # A histogram for every lane: increments of one place in a row would wait for each other.
        store(terms.bins, 0, shift_left(correct, np.uint64(3)))
        first = max(0, second_last + 1 - block)
        if first == 0:
            for bin_lane in range(8):
                increment(histogram, int(get(terms.bins, bin_lane)) + bin_lane)
        else:
            for bin_lane in range(first, 8):
                increment(histogram, int(get(terms.bins, bin_lane)) + bin_lane)
        contenders = find_reaching(correct, np.uint64(best.state[FLOOR]))
        if contenders:
            for last in range(first, 8):
                if (contenders >> np.uint64(last)) & _ONE:
                    terms.path[candidates.k - 1] = block + last
                    balance = tree.balance[row] + weigh(candidates, pack, terms, n_words, n_gains, n_losses, lane)
                    offer(best, int(terms.bins[last]) >> 3, balance, terms.path, candidates.best_balance)


@compiled
def weigh(
    candidates: Candidates, pack: Pack, terms: Terms, n_words: int, n_gains: int, n_losses: int, lane: int
) -> int:
    """The balance that the packed utterances add to the ensemble ``terms.path``."""
    last = terms.path[candidates.k - 1]
    for word in range(n_words):
        terms.right[word] = terms.held[word * 8 + lane]
    for term in range(0, _TERM * n_gains, _TERM):
        votes = pack.planes[terms.gain_terms[term + _PLANE] + last]
        terms.right[terms.gain_terms[term + _WORD]] |= votes & terms.gains[terms.gain_terms[term + _MASK] + lane]
    for term in range(0, _TERM * n_losses, _TERM):
        votes = pack.planes[terms.loss_terms[term + _PLANE] + last]
        terms.right[terms.loss_terms[term + _WORD]] &= ~(votes & terms.losses[terms.loss_terms[term + _MASK] + lane])
    balance = 0
    for word in range(n_words):
        for label in range(pack.classes.shape[1]):
            balance += int(count_bits(terms.right[word] & pack.classes[word, label])) * candidates.class_weights[label]
    return balance
