"""Compiled: the utterances that later votes can still change, narrowed vote by vote and packed into words of bits.

See ``kernel`` for what it is about.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.lanes import compiled, equals, load, load_bytes, shift_left, store

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]

_ALL = np.uint64(2**64 - 1)
_ONE = np.uint64(1)


class Candidates(NamedTuple):
    """Who votes how. Candidates are numbered ``first..end-1``, so that ``end`` is a multiple of 8.

    ``codes``: ``(n * end,)`` uint8, 0 for the truth, else the number of the rival among the utterance's rivals.
    ``n_rivals``: ``(n,)``. ``margins``: ``(n, r)`` int16, of no votes.
    ``remaining``: ``(rows, n, r + 1)`` uint8, votes of each code among the candidates from ``row * stride`` on, at
    most 255. ``truth``: ``(n,)``. ``weights``: ``(n,)``, ``class_weights``: ``(c,)``, see ``contenders``.
    ``best_balance``: ``(n + 1,)``, the highest balance there is of so many right.
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


class Tree(NamedTuple):
    """The utterances that are not settled after 0, 1, … votes, with their margins; and those settled as right."""

    utterances: Ints
    margins: NDArray[np.int16]
    counts: Ints
    correct: Ints
    balance: Ints


class Pack(NamedTuple):
    """Utterances as bits. A word's slots are ``slots[word]..slots[word + 1]-1``; slots with many rivals come first.

    ``planes``: ``((words + slots) * end,)``. ``reached``: ``(7, slots)``, margins of -3 (or -2) and more; ``middle``:
    ``(5, slots)``, the same after the third last vote, from -2. ``valid``: ``(words,)``; ``classes``: ``(words, c)``.
    ``order``, ``relevant`` and ``n_relevant``: which utterance is where, and its rivals that can still win.
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


@compiled
def add_vote(candidates: Candidates, tree: Tree, depth: int, member: int) -> None:
    """Row ``depth + 1`` of the tree from row ``depth`` by the vote of ``member``; row 1 is that of no votes."""
    votes_left = candidates.k - depth
    row = (member + 1) // candidates.stride
    pool = candidates.end - row * candidates.stride
    n_kept = 0
    correct = tree.correct[depth]
    balance = tree.balance[depth]
    for place in range(tree.counts[depth]):
        utterance = tree.utterances[depth, place]
        code = -1
        if depth > 0:
            code = int(candidates.codes[utterance * candidates.end + member])
        for_truth = int(candidates.remaining[row, utterance, 0])
        # Where others are too few to vote, the truth gets the votes that are left.
        least_for_truth = max(0, votes_left - (pool - for_truth))
        is_right = True
        is_wrong = False
        for rival in range(candidates.n_rivals[utterance]):
            margin = int(tree.margins[depth, place, rival])
            if code == 0:
                margin += 1
            elif code == rival + 1:
                margin -= 1
            against = int(candidates.remaining[row, utterance, rival + 1])
            if margin - min(votes_left, against) + least_for_truth < 0:
                is_right = False
            if margin + min(votes_left, for_truth) - max(0, votes_left - (pool - against)) < 0:
                is_wrong = True
            tree.margins[depth + 1, n_kept, rival] = margin
        if is_wrong:
            continue
        if is_right:
            correct += 1
            balance += candidates.weights[utterance]
        else:
            tree.utterances[depth + 1, n_kept] = utterance
            n_kept += 1
    tree.counts[depth + 1] = n_kept
    tree.correct[depth + 1] = correct
    tree.balance[depth + 1] = balance


@compiled
def order_utterances(candidates: Candidates, tree: Tree, pack: Pack, row: int, member: int, votes_left: int) -> int:
    """Lay out the utterances of the tree's ``row`` by how many rivals can still win; returns the number of words."""
    counts_row = (member + 1) // candidates.stride
    pool = candidates.end - counts_row * candidates.stride
    n = tree.counts[row]
    for place in range(n):
        utterance = tree.utterances[row, place]
        least_for_truth = max(0, votes_left - (pool - int(candidates.remaining[counts_row, utterance, 0])))
        n_relevant = 0
        for rival in range(candidates.n_rivals[utterance]):
            against = int(candidates.remaining[counts_row, utterance, rival + 1])
            if int(tree.margins[row, place, rival]) - min(votes_left, against) + least_for_truth < 0:
                pack.relevant[place, n_relevant] = rival
                n_relevant += 1
        pack.n_relevant[place] = n_relevant
    position = 0
    for n_relevant in range(candidates.margins.shape[1], 0, -1):
        for place in range(n):
            if pack.n_relevant[place] == n_relevant:
                pack.order[position] = place
                position += 1
    n_words = (n + 63) // 64
    pack.slots[0] = 0
    for word in range(n_words):
        pack.slots[word + 1] = pack.slots[word] + pack.n_relevant[pack.order[word * 64]]
    return n_words


@compiled
def clear_pack(candidates: Candidates, pack: Pack, n_words: int, member: int, votes_left: int) -> None:
    """No votes, no utterances, and margins that no votes make negative, for candidates after ``member``."""
    for word in range(n_words):
        pack.valid[word] = 0
        for label in range(pack.classes.shape[1]):
            pack.classes[word, label] = 0
    n_slots = pack.slots[n_words]
    for plane in range(n_words + n_slots):
        for place in range(plane * candidates.end + (member + 1) // 8 * 8, (plane + 1) * candidates.end):
            pack.planes[place] = 0
    for threshold in range(2 * votes_left + 1):
        for slot in range(n_slots):
            pack.reached[threshold, slot] = _ALL


@compiled
def pack_utterances(candidates: Candidates, tree: Tree, pack: Pack, row: int, member: int, votes_left: int) -> int:
    """The utterances of the tree's ``row`` as bits, for candidates after ``member``; returns the number of words."""
    n_words = order_utterances(candidates, tree, pack, row, member, votes_left)
    clear_pack(candidates, pack, n_words, member, votes_left)
    end = candidates.end
    for position in range(tree.counts[row]):
        place = pack.order[position]
        utterance = tree.utterances[row, place]
        word = position >> 6
        bit_number = np.uint64(position & 63)
        bit = _ONE << bit_number
        pack.valid[word] |= bit
        pack.classes[word, candidates.truth[utterance]] |= bit
        for number in range(pack.n_relevant[place]):
            margin = int(tree.margins[row, place, pack.relevant[place, number]])
            for threshold in range(margin + votes_left + 1, 2 * votes_left + 1):
                pack.reached[threshold, pack.slots[word] + number] &= ~bit
        for lane in range((member + 1) // 8 * 8, end, 8):
            codes = load_bytes(candidates.codes, utterance * end + lane)
            plane = word * end + lane
            store(pack.planes, plane, load(pack.planes, plane) | shift_left(equals(codes, np.uint64(0)), bit_number))
            for number in range(pack.n_relevant[place]):
                rival = np.uint64(pack.relevant[place, number] + 1)
                plane = (n_words + pack.slots[word] + number) * end + lane
                store(pack.planes, plane, load(pack.planes, plane) | shift_left(equals(codes, rival), bit_number))
    return n_words


@compiled
def vote_middle(candidates: Candidates, pack: Pack, n_words: int, member: int, votes_left: int) -> None:
    """Margins with two votes to go: after the vote of ``member`` where there are three, else as they are."""
    for word in range(n_words):
        for slot in range(pack.slots[word], pack.slots[word + 1]):
            if votes_left == 2:
                for place in range(5):
                    pack.middle[place, slot] = pack.reached[place, slot]
                continue
            for_truth = pack.planes[word * candidates.end + member]
            against = pack.planes[(n_words + slot) * candidates.end + member]
            neither = ~(for_truth | against)
            for place in range(5):
                pack.middle[place, slot] = (
                    (for_truth & pack.reached[place, slot])
                    | (neither & pack.reached[place + 1, slot])
                    | (against & pack.reached[place + 2, slot])
                )
