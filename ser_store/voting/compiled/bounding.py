"""Compiled: the beginnings of ensembles, without those that provably lead to nothing good enough.

The bound on how many utterances an ensemble with a given beginning of its members can get right, with ``r`` votes to
go, of members who come later:

- Utterances that are settled count as what they are, see ``kernel``.
- Every other one counts at most 1, and at most a line in the votes that it is still to get: at most ``v / need``,
  where ``v`` later votes are for the truth and it takes ``need`` to bring the least margin up to 0; and at most
  ``(g + r) / (need + r)``, where ``g`` is what later votes change of that margin, at least ``-r``. Which of the three
  is taken follows from what the later candidates vote on average.
- The sum of lines is a constant and a sum over the later members, so that it is at most the constant and the ``r``
  later candidates who add most: this is a Lagrangian bound, whose multipliers are guessed instead of optimised.

Lines are in whole numbers, rounded up, so that the bound holds exactly.

The last three votes are those of ``kernel``, but nothing is counted, so that left out are

- a beginning or a third last candidate, if too few utterances would be right even if all later votes were for the
  truth,
- a second last candidate, if too few would be right even if all that the last vote can still gain were gained.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.bit_planes import (
    CodedVotes,
    Ints,
    Tree,
    Words,
    add_root,
    add_vote,
    pack_utterances,
    shift_margins,
)
from ser_store.voting.compiled.jit import compiled, compiled_inline, compiled_inner
from ser_store.voting.compiled.kernel import consider, vote_last, vote_second_last
from ser_store.voting.compiled.simd import broadcast, count_bits, find_reaching, get, load, splat
from ser_store.voting.compiled.workspace import FLOOR, Work, list_best, make_tree, make_work

# Of one utterance: the least common multiple of 1 to 15.
_UNIT = 360360

# Beginnings that are collected before they are searched, and nodes between two looks at the clock: some milliseconds.
_N_ROOTS = 1024
_N_NODES = 2**12


@compiled
def begin(candidates: CodedVotes, tree: Tree, prefix: Ints, scores: Ints) -> int:
    """Compute the tree's rows for an ensemble that begins with ``prefix``, and return its bound."""
    last = candidates.first - 1
    add_vote(candidates, tree, 0, last)
    for place in range(len(prefix)):
        last = prefix[place]
        add_vote(candidates, tree, place + 1, last)
    return bound_correct(candidates, tree, len(prefix) + 1, last, candidates.k - len(prefix), scores)


@compiled
def descend(
    candidates: CodedVotes,
    tree: Tree,
    path: Ints,
    depth: int,
    scores: Ints,
    roots: Ints,
    n_fixed: int,
    floor: int,
) -> tuple[int, int]:
    """Go on through the beginnings of ``k - 3`` members, in lexicographic order, whose bound is at least ``floor``.

    Args:
        path: ``(k - 3,)``, the members so far; the one at ``depth`` is the last that was tried there.
        scores: ``(end,)``, for the bound to work in.
        roots: ``(e, k - 3)``, to write the beginnings to.
        n_fixed: members of the path that stay as they are.
        floor: the fewest utterances right that are good enough.

    Returns:
        The depth to go on from, ``n_fixed - 1`` when there are no more; and the number of beginnings written: less than
        there is room for when there are no more, or many were tried.
    """
    k, end = candidates.k, candidates.end
    n_roots = 0
    nodes = 0
    while depth >= n_fixed and n_roots < len(roots) and nodes < _N_NODES:
        member = path[depth] + 1
        if member > end - (k - depth):
            depth -= 1
            continue
        path[depth] = member
        nodes += 1
        add_vote(candidates, tree, depth + 1, member)
        if bound_correct(candidates, tree, depth + 2, member, k - depth - 1, scores) < floor:
            continue
        if depth + 1 == len(path):
            roots[n_roots] = path
            n_roots += 1
        else:
            depth += 1
            path[depth] = member
    return depth, n_roots


@compiled_inner
def bound_correct(candidates: CodedVotes, tree: Tree, row: int, member: int, votes_left: int, scores: Ints) -> int:
    """The most utterances that any ensemble can get right that adds ``votes_left`` candidates after ``member`` to the
    tree's ``row``."""
    codes, remaining, n_rivals, end = candidates.codes, candidates.remaining, candidates.n_rivals, candidates.end
    utterances, margins = tree.utterances, tree.margins
    settled = tree.correct[row] + tree.counts[row]
    if votes_left == 0:
        return int(settled)
    counts_row = (member + 1) // candidates.stride
    n_later = end - counts_row * candidates.stride
    later = scores[member + 1 : end]
    later[:] = 0
    constant = tree.correct[row] * _UNIT
    for place in range(tree.counts[row]):
        utterance = utterances[row, place]
        rival = 0
        for other in range(1, n_rivals[utterance]):
            if margins[row, place, other] < margins[row, place, rival]:
                rival = other
        need = -int(margins[row, place, rival])
        for_truth = int(remaining[counts_row, utterance, 0])
        against = int(remaining[counts_row, utterance, rival + 1])
        by_votes = votes_left * for_truth / (need * n_later) if need > 0 else 1.0
        by_margin = 1.0
        if need + votes_left > 0:
            by_margin = votes_left * (1 + (for_truth - against) / n_later) / (need + votes_left)
        votes = codes[utterance * end + member + 1 : (utterance + 1) * end]
        if by_votes < 1 and by_votes <= by_margin:
            slope = (_UNIT + need - 1) // need
            for candidate in range(len(votes)):
                later[candidate] += slope * (votes[candidate] == 0)
        elif by_margin < 1:
            slope = (_UNIT + need + votes_left - 1) // (need + votes_left)
            constant += slope * votes_left
            for candidate in range(len(votes)):
                gain = np.int64(votes[candidate] == 0) - np.int64(votes[candidate] == rival + 1)
                later[candidate] += slope * gain
        else:
            constant += _UNIT
    return int(min(settled, (constant + sum_largest(later, votes_left)) // _UNIT))


@compiled_inner
def sum_largest(scores: Ints, count: int) -> int:
    """Return the sum of the ``count`` largest, which are put first."""
    total = 0
    for place in range(count):
        largest = place
        for other in range(place + 1, len(scores)):
            if scores[other] > scores[largest]:
                largest = other
        scores[place], scores[largest] = scores[largest], scores[place]
        total += scores[place]
    return total


@compiled
def search_roots(work: Work, roots: Ints) -> int:
    """Vote every ensemble that begins with one of ``roots``, ``(e, k - 3)``, and may be a best; return how many.

    Consecutive ones that begin alike share the packing of utterances, which takes longer than all that follows.
    """
    candidates, tree, pack, path = work.candidates, work.tree, work.pack, work.last_vote.path
    planes, slots, valid, middle = pack.planes, pack.slots, pack.valid, pack.middle
    last_vote = work.last_vote
    masks, places, base, scores = last_vote.masks, last_vote.places, last_vote.base, last_vote.scores
    state = work.best.state
    end = candidates.end
    # All members of a root but the last are packed; its own vote shifts the margins, as the third last one does.
    row = roots.shape[1]
    packed = np.ascontiguousarray(roots[:, : row - 1])
    rooted = np.zeros((len(pack.reached), 7), dtype=np.uint64)
    settled, n_words, voted = 0, 0, 0
    for number in range(len(roots)):
        root = roots[number, row - 1]
        if number == 0 or (packed[number] != packed[number - 1]).any():
            last_packed = add_root(candidates, tree, packed, number, path)
            settled = int(tree.correct[row])
            n_words = pack_utterances(candidates, tree, pack, row, last_packed, 4)
        path[row - 1] = root
        shift_margins(planes, slots, pack.reached, rooted, n_words, root, end)
        if settled + count_winnable(slots, valid, rooted, n_words) < state[FLOOR]:
            continue
        for third_last in range(root + 1, end - 2):
            path[row] = third_last
            shift_margins(planes, slots, rooted, middle, n_words, third_last, end)
            if settled + count_winnable(slots, valid, middle, n_words) < state[FLOOR]:
                continue
            for block in range((third_last + 1) // 8 * 8, end - 1, 8):
                hopeful = find_hopeful(planes, slots, valid, middle, state, settled, n_words, block, end)
                if not hopeful:
                    continue
                n_gains, n_losses = vote_second_last(
                    planes, slots, valid, middle, masks, places, base, settled, n_words, block, end
                )
                for second_last in range(max(block, third_last + 1), min(block + 8, end - 1)):
                    if not (hopeful >> np.uint64(second_last & 7)) & np.uint64(1):
                        continue
                    voted += end - 1 - second_last
                    if vote_last(
                        planes, masks, places, base, scores, state, n_words, n_gains, n_losses, second_last, end
                    ):
                        consider(work, 0, row, n_words, n_gains, n_losses, second_last)
    return voted


@compiled_inline
def count_winnable(slots: Ints, valid: Words, margins: Words, n_words: int) -> int:
    """Return the packed utterances that are right if all votes that are left are for the truth."""
    count = 0
    for word in range(n_words):
        winnable = get(valid, word)
        for slot in range(get(slots, word), get(slots, word + 1)):
            winnable &= margins[slot, 0]
        count += int(count_bits(winnable))
    return count


@compiled_inline
def find_hopeful(
    planes: Words,
    slots: Ints,
    valid: Words,
    middle: Words,
    state: Ints,
    settled: int,
    n_words: int,
    block: int,
    end: int,
) -> np.uint64:
    """Return the lanes of second last candidates with whom enough are right if the last vote gains all it can."""
    ceiling = splat(np.uint64(settled))
    for word in range(n_words):
        for_truth = load(planes, word * end + block)
        winnable = splat(get(valid, word))
        for slot in range(get(slots, word), get(slots, word + 1)):
            against = load(planes, (n_words + slot) * end + block)
            margins = 5 * slot
            from_minus_2, from_minus_1 = broadcast(middle, margins), broadcast(middle, margins + 1)
            # A margin that reaches a threshold reaches all below it.
            winnable = winnable & (
                broadcast(middle, margins + 2) | (from_minus_1 & ~against) | (from_minus_2 & for_truth)
            )
        ceiling = ceiling + count_bits(winnable)
    return np.uint64(find_reaching(ceiling, np.uint64(get(state, FLOOR))))


def bound_branches(candidates: CodedVotes, prefixes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the most utterances right of any ensemble that begins with each of the ``(b, p)`` prefixes, ``(b,)``."""
    tree, scores = make_tree(candidates), np.zeros(candidates.end, dtype=np.int64)
    return np.array([begin(candidates, tree, prefix, scores) for prefix in prefixes], dtype=np.int64)


def search_branch(
    candidates: CodedVotes, prefix: NDArray[np.int64], *, top: int, floor: int, is_over: Callable[[], bool]
) -> tuple[bool, int, tuple[NDArray[np.int64], ...]]:
    """Return the best of the ensembles that begin with ``prefix`` and have at least ``floor`` utterances right.

    Returns whether it came to the end before the search ``is_over``, how many ensembles were voted, and the best's
    utterances right, balances and members.
    """
    n_fixed, n_rooted = len(prefix), candidates.k - 3
    tree, scores = make_tree(candidates), np.zeros(candidates.end, dtype=np.int64)
    work = make_work(candidates, top=top, floor=floor)
    finished, voted = not is_over(), 0
    if finished and begin(candidates, tree, prefix, scores) >= floor:
        path = np.full(n_rooted, prefix[-1], dtype=np.int64)
        path[:n_fixed] = prefix
        depth, roots = n_fixed, np.zeros((_N_ROOTS, n_rooted), dtype=np.int64)
        if n_fixed == n_rooted:
            voted, depth = search_roots(work, prefix[None]), n_fixed - 1
        while depth >= n_fixed and (finished := not is_over()):
            floor = int(work.best.state[FLOOR])
            depth, n_roots = descend(candidates, tree, path, depth, scores, roots, n_fixed, floor)
            voted += search_roots(work, roots[:n_roots])
    return finished, voted, list_best(work.best, first=candidates.first)
