"""How fast hard voting could be on this machine: the words it must touch at the rate the machine touches words."""

import time
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ser_store.voting.bitsliced import encode_candidates, make_work
from ser_store.voting.kernel import Work, vote_second_last
from ser_store.voting.lanes import count_bits, load, splat, store
from ser_store.voting.packing import Ints, Words, add_vote, pack_utterances, vote_middle
from ser_store.voting.problem import pose_problem

ROOTS = 200
# Of a term, eight ensembles at a time: two places, the plane, the mask, and, count, add.
INSTRUCTIONS_PER_TERM = 7


@njit(nogil=True)
def count_terms(work: Work, roots: Ints) -> tuple[int, int]:
    """Terms times blocks that the last votes take below ``roots``, and ensembles that they score."""
    candidates, tree, pack, terms = work.candidates, work.tree, work.pack, work.terms
    end = candidates.end
    row = roots.shape[1] + 1
    n_terms, n_ensembles = 0, 0
    for number in range(len(roots)):
        add_vote(candidates, tree, 0, candidates.first - 1)
        for depth in range(1, row):
            add_vote(candidates, tree, depth, roots[number, depth - 1])
        root = roots[number, -1]
        n_words = pack_utterances(candidates, tree, pack, row, root, 3)
        for third_last in range(root + 1, end - 2):
            vote_middle(pack.planes, pack.slots, pack.reached, pack.middle, n_words, third_last, end, 3)
            for block in range((third_last + 1) // 8 * 8, end - 1, 8):
                n_gains, n_losses = vote_second_last(
                    pack.planes, pack.slots, pack.valid, pack.middle, terms.masks, terms.places, terms.base, 0,
                    n_words, block, end,
                )  # fmt: skip
                for second_last in range(max(block, third_last + 1), min(block + 8, end - 1)):
                    n_terms += (n_gains + n_losses) * (end // 8 - (second_last + 1) // 8)
                    n_ensembles += end - 1 - second_last
    return n_terms, n_ensembles


@njit(nogil=True)
def touch_words(words: Words, counts: Words, repeats: int) -> None:
    """Load, mask and count the bits of all ``words``, ``repeats`` times."""
    mask = splat(np.uint64(0x5555555555555555))
    for repeat in range(repeats):
        mask = mask + splat(np.uint64(repeat))
        one, other = load(counts, 0), load(counts, 8)
        for place in range(0, len(words), 16):
            one = one + count_bits(load(words, place) & mask)
            other = other + count_bits(load(words, place + 8) & mask)
        store(counts, 0, one)
        store(counts, 8, other)


def measure_rate() -> float:
    """Words a second that one thread loads from the nearest cache, masks and counts."""
    words = np.random.default_rng(0).integers(2**63, size=2048, dtype=np.uint64)
    counts = np.zeros(16, dtype=np.uint64)
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        touch_words(words, counts, 20_000)
        seconds.append(time.perf_counter() - started)
    return len(words) * 20_000 / min(seconds)


def measure_bound(
    predictions: NDArray[np.int16], truth: NDArray[np.int64], *, k: int, seconds: float, **case: Any
) -> str:
    """What bounds one thread, beside the ``seconds`` it takes for an ensemble, in words."""
    if k < 4:
        return "bound: measured from four members on"
    problem = pose_problem(predictions, truth, k=k, rule="hard", tie="lowest", probabilities=None, **case)
    candidates = encode_candidates(problem)
    rng = np.random.default_rng(0)
    # Roots of ensembles that are drawn, so that a root counts by the ensembles below it, once.
    drawn = [np.sort(rng.choice(problem.m, k, replace=False))[: k - 3] for _ in range(ROOTS)]
    ratios = [count_terms(make_work(candidates, top=1, floor=0), root[None] + candidates.first) for root in drawn]
    terms = float(np.mean([8 * n_terms / n_ensembles for n_terms, n_ensembles in ratios]))
    rate = measure_rate()
    bound = terms / rate
    return (
        f"bound, last votes, one thread: {terms:.1f} words touched and {terms / 8 * INSTRUCTIONS_PER_TERM:.1f} "
        f"instructions an ensemble; at {rate / 1e9:.1f} words a ns {bound * 1e9:.2f} ns, which is "
        f"{bound / seconds:.0%} of the {seconds * 1e9:.2f} ns taken; not in it: the votes before the last, the "
        "histogram, and finding the places and masks of the terms"
    )
