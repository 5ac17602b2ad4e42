"""Compiled: the last three votes, without those after which no ensemble can be good enough any more.

As ``kernel`` does it, but the ensembles are not counted, so that it skips

- a beginning or a third last candidate, if too few utterances would be right even if all later votes were for the
  truth,
- a second last candidate, if too few would be right even if all that the last vote can still gain were gained.
"""

import numpy as np

from ser_store.voting.compiled.best import FLOOR
from ser_store.voting.compiled.bit_planes import Ints, Words, add_root, pack_utterances, shift_margins
from ser_store.voting.compiled.jit import compiled, compiled_inline
from ser_store.voting.compiled.kernel import consider, vote_last, vote_second_last
from ser_store.voting.compiled.simd import broadcast, count_bits, find_reaching, get, load, splat
from ser_store.voting.compiled.workspace import Work


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
