"""Compiled: the last three votes, without those after which no ensemble can be good enough any more.

As ``kernel`` does it, but the ensembles are not counted, so that it skips

- a third last candidate, if too few utterances would be right even if both later votes were for the truth,
- a second last candidate, if too few would be right even if all that the last vote can still gain were gained.
"""

import numpy as np

from ser_store.voting.compiled.best import FLOOR
from ser_store.voting.compiled.bit_planes import Ints, Words, add_root, pack_utterances, vote_middle
from ser_store.voting.compiled.jit import compiled, compiled_inline
from ser_store.voting.compiled.kernel import TERM, TERM_MASK, consider, vote_last, vote_second_last
from ser_store.voting.compiled.simd import count_bits, find_reaching, get, load
from ser_store.voting.compiled.workspace import Work


@compiled
def search_roots(work: Work, roots: Ints) -> int:
    """Vote every ensemble that begins with one of ``roots``, ``(e, k - 3)``, and may be a best; return how many."""
    candidates, tree, pack, path = work.candidates, work.tree, work.pack, work.last_vote.path
    planes, slots, valid, reached, middle = pack.planes, pack.slots, pack.valid, pack.reached, pack.middle
    last_vote = work.last_vote
    masks, places, base, scores = last_vote.masks, last_vote.places, last_vote.base, last_vote.scores
    state = work.best.state
    end = candidates.end
    n_rooted = roots.shape[1]
    row = n_rooted + 1
    voted = 0
    for number in range(len(roots)):
        root = add_root(candidates, tree, roots, number, path)
        settled = tree.correct[row]
        if settled + tree.counts[row] < state[FLOOR]:
            continue
        n_words = pack_utterances(candidates, tree, pack, row, root, 3)
        for third_last in range(root + 1, end - 2):
            path[n_rooted] = third_last
            vote_middle(planes, slots, reached, middle, n_words, third_last, end, 3)
            if settled + count_winnable(slots, valid, middle, n_words) < state[FLOOR]:
                continue
            for block in range((third_last + 1) // 8 * 8, end - 1, 8):
                n_gains, n_losses = vote_second_last(
                    planes, slots, valid, middle, masks, places, base, settled, n_words, block, end
                )
                hopeful = find_hopeful(masks, places, base, state, n_gains)
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
def count_winnable(slots: Ints, valid: Words, middle: Words, n_words: int) -> int:
    """Return the packed utterances that are right if the last two votes are for the truth."""
    count = 0
    for word in range(n_words):
        winnable = get(valid, word)
        for slot in range(get(slots, word), get(slots, word + 1)):
            winnable &= middle[slot, 0]
        count += int(count_bits(winnable))
    return count


@compiled_inline
def find_hopeful(masks: Words, places: Ints, base: Words, state: Ints, n_gains: int) -> np.uint64:
    """Return the lanes of second last candidates with whom enough are right if the last vote gains all it can."""
    ceiling = load(base, 0)
    for term in range(0, TERM * n_gains, TERM):
        ceiling = ceiling + count_bits(load(masks, get(places, term + TERM_MASK)))
    return np.uint64(find_reaching(ceiling, np.uint64(get(state, FLOOR))))
