"""How fast hard voting could be on this machine, and where the time goes: the words that the last votes must touch at
the rate the machine touches words, and the search itself, stopped after each of its stages."""

import time
from dataclasses import dataclass

import numpy as np
from numba import njit

from measuring.voting_problem import VotingProblem
from ser_store.voting.compiled.bit_planes import Ints, Words, add_root, pack_utterances, vote_middle
from ser_store.voting.compiled.bitsliced import encode_candidates
from ser_store.voting.compiled.kernel import count_scores, vote_last, vote_second_last
from ser_store.voting.compiled.parts import Part, iter_parts
from ser_store.voting.compiled.simd import count_bits, load, splat, store
from ser_store.voting.compiled.workspace import Work, make_work

PARTS, REPEATS = 40, 5
STAGES = ("first votes and packing", "third last vote", "second last vote", "last vote", "histogram")
# Of a term, eight ensembles at a time: two places, the plane, the mask, and, count, add.
INSTRUCTIONS_PER_TERM = 7


@dataclass(frozen=True)
class Bound:
    """All for one thread and one ensemble.

    Attributes:
        words: that the last votes touch.
        instructions: that these take.
        words_per_ns: that this machine loads, masks and counts.
        bound_ns: the words at that rate.
        taken_ns: what the search takes.
        stages_ns: of its stages.
    """

    words: float
    instructions: float
    words_per_ns: float
    bound_ns: float
    taken_ns: float
    stages_ns: dict[str, float]

    def describe(self) -> str:
        shares = ", ".join(f"{stage} {seconds / self.taken_ns:.0%}" for stage, seconds in self.stages_ns.items())
        return (
            f"bound of the last votes, one thread: {self.words:.1f} words touched and {self.instructions:.1f} "
            f"instructions an ensemble; at {self.words_per_ns:.1f} words a ns {self.bound_ns:.2f} ns, which is "
            f"{self.bound_ns / self.taken_ns:.0%} of the {self.taken_ns:.2f} ns taken\nwhere they go: {shares}"
        )


@njit(nogil=True)
def search_stages(work: Work, roots: Ints, n_stages: int, counts: Ints) -> None:
    """The search below ``roots`` of three members less than k, up to a stage; its terms and ensembles to ``counts``."""
    candidates, tree, pack, terms = work.candidates, work.tree, work.pack, work.last_vote
    planes, slots, valid, reached, middle = pack.planes, pack.slots, pack.valid, pack.reached, pack.middle
    masks, places, base, scores = terms.masks, terms.places, terms.base, terms.scores
    state, histogram = work.best.state, work.histogram
    end = candidates.end
    row = roots.shape[1] + 1
    for number in range(len(roots)):
        root = add_root(candidates, tree, roots, number, terms.path)
        n_words = pack_utterances(candidates, tree, pack, row, root, 3)
        if n_stages < 2:
            continue
        for third_last in range(root + 1, end - 2):
            vote_middle(planes, slots, reached, middle, n_words, third_last, end, 3)
            if n_stages < 3:
                continue
            for block in range((third_last + 1) // 8 * 8, end - 1, 8):
                n_gains, n_losses = vote_second_last(
                    planes, slots, valid, middle, masks, places, base, tree.correct[row], n_words, block, end
                )
                if n_stages < 4:
                    continue
                for second_last in range(max(block, third_last + 1), min(block + 8, end - 1)):
                    counts[0] += (n_gains + n_losses) * (end // 8 - (second_last + 1) // 8)
                    counts[1] += end - 1 - second_last
                    vote_last(planes, masks, places, base, scores, state, n_words, n_gains, n_losses, second_last, end)
                    if n_stages >= 5:
                        count_scores(histogram, scores, second_last, end)


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
    for _ in range(REPEATS):
        started = time.perf_counter()
        touch_words(words, counts, 20_000)
        seconds.append(time.perf_counter() - started)
    return len(words) * 20_000 / min(seconds)


def measure_bound(posed: VotingProblem) -> Bound | None:
    """What bounds one thread beside what it takes; None for fewer than four members, who have no roots."""
    if posed.k < 4:
        return None
    problem = posed.pose("hard")
    candidates = encode_candidates(problem)
    parts = list(iter_parts(candidates))
    some: list[Part] = parts[:: max(1, len(parts) // PARTS)]
    histogram = np.zeros(8 * (problem.n + 1), dtype=np.int64)
    work = make_work(candidates, top=1, floor=problem.n + 1, histogram=histogram)
    counts = np.zeros(2, dtype=np.int64)
    best = np.full(len(STAGES), np.inf)
    for _ in range(REPEATS):
        for n_stages in range(1, len(STAGES) + 1):
            counts[:] = 0
            started = time.perf_counter()
            for part in some:
                search_stages(work, part.roots, n_stages, counts)
            best[n_stages - 1] = min(best[n_stages - 1], time.perf_counter() - started)
    n_terms, n_ensembles = counts.tolist()
    per_ensemble = best / n_ensembles * 1e9
    rate = measure_rate()
    words = 8 * n_terms / n_ensembles
    return Bound(
        words=words,
        instructions=words / 8 * INSTRUCTIONS_PER_TERM,
        words_per_ns=rate / 1e9,
        bound_ns=words / rate * 1e9,
        taken_ns=float(per_ensemble[-1]),
        stages_ns=dict(zip(STAGES, np.diff(per_ensemble, prepend=0).tolist(), strict=True)),
    )
