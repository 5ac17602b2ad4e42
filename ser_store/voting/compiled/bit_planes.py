"""Compiled: the utterances that later votes can still change, narrowed vote by vote and packed into words of bits.

See ``kernel`` for what it is about.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.jit import compiled_inline, compiled_inner
from ser_store.voting.compiled.simd import equals, load, load_bytes, shift_left, store

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]

_ALL = np.uint64(2**64 - 1)
_ONE = np.uint64(1)


class CodedVotes(NamedTuple):
    """Who votes how. CodedVotes are numbered ``first..end-1``, so that ``end`` is a multiple of 8.

    ``codes``: ``(n * end,)`` uint8, 0 for the truth, else the number of the rival among the utterance's rivals.
    ``n_rivals``: ``(n,)``. ``margins``: ``(n, r)`` int16, of no votes.
    ``remaining``: ``(rows, n, r + 1)`` uint8, votes of each code among the candidates from ``row * stride`` on, at
    most 255. ``truth``: ``(n,)``. ``weights``: ``(n,)``, ``class_weights``: ``(c,)``, see ``top_k``.
    ``best_balance``: ``(n + 1,)``, the highest balance there is of so many right. ``by_balance``: what is best.
    """

    k: int
    first: int
    end: int
    stride: int
    codes: NDArray[np.uint8]
    n_rivals: Ints
    margins: NDArray[np.int16]
    remaining: NDArray[np.uint8]
    truth: Ints
    weights: Ints
    class_weights: Ints
    best_balance: Ints
    by_balance: bool


class Tree(NamedTuple):
    """The utterances that are not settled after 0, 1, … votes, with their margins; and those settled as right."""

    utterances: Ints
    margins: NDArray[np.int16]
    counts: Ints
    correct: Ints
    balance: Ints


class Pack(NamedTuple):
    """Utterances as bits. A word's slots are ``slots[word]..slots[word + 1]-1``; slots with many rivals come first.

    ``planes``: ``((words + slots) * end,)``. ``reached``: ``(slots, 9)``, margins from minus the votes that are left
    (-4, -3 or -2) to as much above 0; ``middle``: ``(slots, 5)``, the same after the third last vote, from -2.
    ``valid``: ``(words,)``; ``classes``: ``(words, c)``. ``order``, ``relevant`` and ``n_relevant``: which utterance is
    where, and its rivals that can still win.
    """

    slots: Ints
    planes: Words
    reached: Words
    middle: Words
    valid: Words
    classes: Words
    order: Ints
    relevant: Ints
    n_relevant: Ints


@compiled_inner
def add_vote(candidates: CodedVotes, tree: Tree, depth: int, member: int) -> None:
    """Compute row ``depth + 1`` of the tree from row ``depth`` by the vote of ``member``; row 1 is that of no votes."""
    # Arrays are taken out of their tuples before the loops: every time costs a reference count.
    codes, remaining, n_rivals = candidates.codes, candidates.remaining, candidates.n_rivals
    utterances, margins, weights = tree.utterances, tree.margins, candidates.weights
    votes_left = candidates.k - depth
    row = (member + 1) // candidates.stride
    pool = candidates.end - row * candidates.stride
    n_kept = 0
    correct = tree.correct[depth]
    balance = tree.balance[depth]
    for place in range(tree.counts[depth]):
        utterance = utterances[depth, place]
        code = -1
        if depth > 0:
            code = int(codes[utterance * candidates.end + member])
        for_truth = int(remaining[row, utterance, 0])
        # Where others are too few to vote, the truth gets the votes that are left.
        least_for_truth = max(0, votes_left - (pool - for_truth))
        is_right = True
        is_wrong = False
        for rival in range(n_rivals[utterance]):
            margin = int(margins[depth, place, rival])
            if code == 0:
                margin += 1
            elif code == rival + 1:
                margin -= 1
            against = int(remaining[row, utterance, rival + 1])
            if margin - min(votes_left, against) + least_for_truth < 0:
                is_right = False
            if margin + min(votes_left, for_truth) - max(0, votes_left - (pool - against)) < 0:
                is_wrong = True
            margins[depth + 1, n_kept, rival] = margin
        if is_wrong:
            continue
        if is_right:
            correct += 1
            balance += weights[utterance]
        else:
            utterances[depth + 1, n_kept] = utterance
            n_kept += 1
    tree.counts[depth + 1] = n_kept
    tree.correct[depth + 1] = correct
    tree.balance[depth + 1] = balance


@compiled_inner
def add_root(candidates: CodedVotes, tree: Tree, roots: Ints, number: int, path: Ints) -> int:
    """Compute the rows of the tree for the members ``roots[number]``, and return the last of them.

    Rows that it has in common with the root before it stay as they are.
    """
    same = number > 0
    root = candidates.first - 1
    for depth in range(roots.shape[1] + 1):
        if depth > 0:
            root = roots[number, depth - 1]
            same = same and root == roots[number - 1, depth - 1]
            path[depth - 1] = root
        if not same:
            add_vote(candidates, tree, depth, root)
    return root


@compiled_inner
def order_utterances(candidates: CodedVotes, tree: Tree, pack: Pack, row: int, member: int, votes_left: int) -> int:
    """Lay out the utterances of the tree's ``row`` by how many rivals can still win; returns the number of words."""
    order, relevant, n_relevants, slots = pack.order, pack.relevant, pack.n_relevant, pack.slots
    remaining, n_rivals = candidates.remaining, candidates.n_rivals
    utterances, margins = tree.utterances, tree.margins
    counts_row = (member + 1) // candidates.stride
    pool = candidates.end - counts_row * candidates.stride
    n = tree.counts[row]
    for place in range(n):
        utterance = utterances[row, place]
        least_for_truth = max(0, votes_left - (pool - int(remaining[counts_row, utterance, 0])))
        n_relevant = 0
        for rival in range(n_rivals[utterance]):
            against = int(remaining[counts_row, utterance, rival + 1])
            if int(margins[row, place, rival]) - min(votes_left, against) + least_for_truth < 0:
                relevant[place, n_relevant] = rival
                n_relevant += 1
        n_relevants[place] = n_relevant
    position = 0
    for n_relevant in range(margins.shape[2], 0, -1):
        for place in range(n):
            if n_relevants[place] == n_relevant:
                order[position] = place
                position += 1
    n_words = int((n + 63) // 64)
    slots[0] = 0
    for word in range(n_words):
        slots[word + 1] = slots[word] + n_relevants[order[word * 64]]
    return n_words


@compiled_inner
def clear_pack(candidates: CodedVotes, pack: Pack, n_words: int, member: int, votes_left: int) -> None:
    """Reset to no votes, no utterances, and margins that no votes make negative, for candidates after ``member``."""
    planes, reached, classes = pack.planes, pack.reached, pack.classes
    pack.valid[:n_words] = 0
    for word in range(n_words):
        for label in range(classes.shape[1]):
            classes[word, label] = 0
    n_slots = pack.slots[n_words]
    for plane in range(n_words + n_slots):
        for place in range(plane * candidates.end + (member + 1) // 8 * 8, (plane + 1) * candidates.end):
            planes[place] = 0
    for slot in range(n_slots):
        for threshold in range(2 * votes_left + 1):
            reached[slot, threshold] = _ALL


@compiled_inner
def pack_utterances(candidates: CodedVotes, tree: Tree, pack: Pack, row: int, member: int, votes_left: int) -> int:
    """Pack the utterances of the tree's ``row`` as bits, for candidates after ``member``; return how many words."""
    n_words = order_utterances(candidates, tree, pack, row, member, votes_left)
    clear_pack(candidates, pack, n_words, member, votes_left)
    planes, slots, relevant, codes, end = pack.planes, pack.slots, pack.relevant, candidates.codes, candidates.end
    reached, margins, utterances, truth = pack.reached, tree.margins, tree.utterances, candidates.truth
    order, n_relevants, valid, classes = pack.order, pack.n_relevant, pack.valid, pack.classes
    for position in range(tree.counts[row]):
        place = order[position]
        n_relevant = n_relevants[place]
        utterance = utterances[row, place]
        word = position >> 6
        bit_number = np.uint64(position & 63)
        bit = _ONE << bit_number
        valid[word] |= bit
        classes[word, truth[utterance]] |= bit
        for number in range(n_relevant):
            margin = int(margins[row, place, relevant[place, number]])
            for threshold in range(margin + votes_left + 1, 2 * votes_left + 1):
                reached[slots[word] + number, threshold] &= ~bit
        for lane in range((member + 1) // 8 * 8, end, 8):
            votes = load_bytes(codes, utterance * end + lane)
            plane = word * end + lane
            store(planes, plane, load(planes, plane) | shift_left(equals(votes, np.uint64(0)), bit_number))
            for number in range(n_relevant):
                rival = np.uint64(relevant[place, number] + 1)
                plane = (n_words + slots[word] + number) * end + lane
                store(planes, plane, load(planes, plane) | shift_left(equals(votes, rival), bit_number))
    return n_words


@compiled_inline
def vote_middle(
    planes: Words, slots: Ints, reached: Words, middle: Words, n_words: int, member: int, end: int, votes_left: int
) -> None:
    """Compute the margins with two votes to go: after the vote of ``member`` if there are three, else as they are."""
    if votes_left == 3:
        shift_margins(planes, slots, reached, middle, n_words, member, end)
        return
    for slot in range(slots[n_words]):
        for place in range(5):
            middle[slot, place] = reached[slot, place]


@compiled_inline
def shift_margins(planes: Words, slots: Ints, before: Words, after: Words, n_words: int, member: int, end: int) -> None:
    """Compute whether margins reach the thresholds ``after`` the vote of ``member``, which are two fewer."""
    for word in range(n_words):
        for slot in range(slots[word], slots[word + 1]):
            for_truth = planes[word * end + member]
            against = planes[(n_words + slot) * end + member]
            neither = ~(for_truth | against)
            for place in range(after.shape[1]):
                after[slot, place] = (
                    (for_truth & before[slot, place])
                    | (neither & before[slot, place + 1])
                    | (against & before[slot, place + 2])
                )
