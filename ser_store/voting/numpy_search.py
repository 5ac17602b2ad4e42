"""The search in batched numpy, for every rule: nothing is imported or compiled for it.

A block is some of the prefixes (all members but the last) with the same highest index q, times some of the last
members above q: one broadcast addition per word votes for all of its ensembles.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.margins import Margins, encode_steps, encode_votes
from ser_store.voting.problem import Problem
from ser_store.voting.subsets import Constraints, make_constraints, rank_lexicographic
from ser_store.voting.top_k import Tally, weigh_utterances
from ser_store_h5.progress import Progress

# Bytes of a block's sums: enough to outweigh the calls, few enough to stay near the processor (0.4 µs an ensemble of
# 288 utterances; 1.0 µs at an eighth of it).
BLOCK_BYTES = 2**20


Members = tuple[int, ...]
_STARTS = 8


class Block(NamedTuple):
    """Ensembles of each of the ``prefixes``, ``(e, k - 1)`` ascending, with each last member in ``first..end-1``."""

    prefixes: NDArray[np.intp]
    first: int
    end: int

    def rank(self, n_candidates: int) -> NDArray[np.int64]:
        """Return the lexicographic ranks among all ensembles, ``(e, end - first)``."""
        firsts = np.column_stack([self.prefixes, np.full(len(self.prefixes), self.first)])
        # Those that differ in the last member alone follow each other.
        return rank_lexicographic(firsts, n_candidates=n_candidates)[:, None] + np.arange(self.end - self.first)


def search_batched(
    problem: Problem, tally: Tally, *, progress: Progress, kept: NDArray[np.signedinteger] | None = None
) -> None:
    """Vote every ensemble that is allowed, and count it in ``tally``.

    Args:
        tally: is changed.
        kept: ``(problem.total,)``, takes the utterances right of each ensemble, lexicographically; only of a problem
            without constraints.
    """
    margins = encode(problem)
    weights = weigh_utterances(problem.truth, problem.n_classes)
    total = sum(1 for _ in iter_blocks(problem, margins))
    for block in progress(iter_blocks(problem, margins), total=total, label="voting"):
        correct = tally_block(problem, margins, weights, block, tally)
        if kept is not None:
            kept[block.rank(problem.m)] = correct


def compute_outcomes(problem: Problem) -> NDArray[np.bool_]:
    """Return which utterances every ensemble that is allowed gets right, lexicographically: ``(ensembles, n)`` bool.

    One byte for each ensemble and utterance.
    """
    margins = encode(problem)
    blocks = list(iter_blocks(problem, margins))
    right = np.concatenate([vote_block(problem, margins, one).reshape(-1, margins.start.shape[1]) for one in blocks])
    ranks = np.concatenate([one.rank(problem.m).ravel() for one in blocks])
    return right[np.argsort(ranks), : problem.n]


def tally_block(
    problem: Problem,
    margins: Margins,
    weights: NDArray[np.int64],
    block: Block,
    tally: Tally,
    *,
    floor: int = 0,
) -> NDArray[np.int64]:
    """Count the ensembles of a block in ``tally``; the best need ``floor`` right.

    Returns ``(prefixes, lasts)``, utterances right.
    """
    right = vote_block(problem, margins, block)
    # Bools of an utterance count eight to a word, which beats summing them by far.
    correct: NDArray[np.int64] = np.bitwise_count(right.view(np.uint64)).sum(axis=2, dtype=np.int64)
    prefix, last = np.nonzero(correct >= max(floor, tally.floor))
    tally.offer(
        correct[prefix, last],
        right[prefix, last, : problem.n] @ weights,
        np.column_stack([block.prefixes[prefix], last + block.first]),
    )
    tally.histogram += np.bincount(correct.ravel(), minlength=problem.n + 1)
    return correct


def encode(problem: Problem) -> Margins:
    """Return the margins of the problem's rule."""
    weights, steps, slack = problem.cut_off()
    if steps is not None:
        return encode_steps(steps, problem.truth, slack=slack)
    return encode_votes(
        problem.predictions,
        problem.truth,
        k=problem.k,
        n_classes=problem.n_classes,
        tie=problem.tie,
        weights=weights,
        slack=slack,
    )


def vote_block(problem: Problem, margins: Margins, block: Block) -> NDArray[np.bool_]:
    """Return which utterances the ensembles of a block get right, ``(prefixes, lasts, p)`` bool, ``p`` padded ones."""
    prefixes, first, end = block
    sums = np.repeat(margins.start[:, None, :], len(prefixes), axis=1)
    for place in range(problem.k - 1):
        sums += margins.codes[:, prefixes[:, place]]
    right = _find_unbeaten(margins, sums, first, end)
    if not margins.is_decisive:
        tied = right & ~_find_unbeaten(margins, sums - margins.unit, first, end)
        prefix, last, utterance = np.nonzero(tied)
        members = np.vstack([prefixes[prefix].T, last + first])
        right[prefix, last, utterance] = problem.decide(members, utterance).predicted == problem.truth[utterance]
    return right


def _find_unbeaten(margins: Margins, sums: NDArray[np.unsignedinteger], first: int, end: int) -> NDArray[np.bool_]:
    """Return where no margin is negative, ``(prefixes, lasts, p)``."""
    guards = sums[0][:, None, :] + margins.codes[0, first:end]
    for word in range(1, len(sums)):
        guards &= sums[word][:, None, :] + margins.codes[word, first:end]
    guards &= margins.guard
    unbeaten: NDArray[np.bool_] = guards == margins.guard
    return unbeaten


def iter_blocks(problem: Problem, margins: Margins) -> Iterator[Block]:
    """Yield blocks that cover every ensemble that is allowed once."""
    constraints = problem.constraints or make_constraints(problem.m)
    per_block = max(1, BLOCK_BYTES // margins.bytes_per_ensemble)
    if problem.k == 1:
        for first, end in _find_stretches(constraints, 0, 0):
            yield Block(np.empty((1, 0), dtype=np.intp), first, end)
        return
    for q in range(problem.k - 2, problem.m):
        # Nobody of the group of q, which begins where those end that it may follow.
        stop = int(np.searchsorted(constraints.following, q, side="right"))
        for lower, held in constraints.iter_subsets(problem.k - 2, stop=stop, held=int(constraints.hits[q])):
            prefixes = np.column_stack([lower, np.full(len(lower), q)])
            for hit in sorted(set(held.tolist())):
                alike = prefixes[held == hit]
                for first, end in _find_stretches(constraints, int(constraints.following[q]), hit):
                    width = min(end - first, per_block)
                    height = max(1, per_block // width)
                    for begin in range(first, end, width):
                        for start in range(0, len(alike), height):
                            yield Block(alike[start : start + height], begin, min(begin + width, end))


def _find_stretches(constraints: Constraints, start: int, held: int) -> list[tuple[int, int]]:
    """Return stretches ``(first, end)`` of candidates from ``start`` on, each of whom completes what is ``held``."""
    completes = ((constraints.hits[start:] | held) & constraints.needed) == constraints.needed
    edges = np.flatnonzero(np.diff(np.concatenate([[False], completes, [False]]).astype(np.int8))) + start
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def search_locally(problem: Problem, *, top: int, starts: int = _STARTS, seed: int = 0) -> dict[Members, int]:
    """Return up to ``top`` different good ensembles, members ascending, and how many utterances each gets right.

    Beginning with random ensembles, exchange every member in turn for the candidate with whom most utterances are
    right, until no exchange improves the ensemble. All ensembles voted on the way count.

    >>> from ser_store.voting.problem import pose_problem
    >>> search_locally(pose_problem([[0, 0, 1], [0, 1, 0], [1, 1, 1]], [0, 1, 1], k=2, n_classes=2), top=1)
    {(0, 2): 2}
    """
    rng = np.random.default_rng(seed)
    margins = encode(problem)
    found: dict[Members, int] = {}
    for _ in range(starts):
        ensemble = rng.choice(problem.m, problem.k, replace=False).tolist()
        current, unchanged = -1, 0
        while unchanged < problem.k:
            # The first member leaves; the one that comes in goes to the end, so that all get their turn.
            rest = ensemble[1:]
            correct = _count_right(problem, margins, rest)
            found = _keep_best(found, rest, correct, top)
            best = int(correct.argmax())
            unchanged = 0 if correct[best] > current else unchanged + 1
            ensemble = [*rest, best if correct[best] > current else ensemble[0]]
            current = max(current, int(correct[best]))
    return found


def _count_right(problem: Problem, margins: Margins, rest: list[int]) -> NDArray[np.int64]:
    """Return how many utterances ``rest`` and each candidate get right, ``(m,)``; -1 for those already in it."""
    right = vote_block(problem, margins, Block(np.array([rest], dtype=np.intp), 0, problem.m))[0]
    correct: NDArray[np.int64] = np.bitwise_count(right.view(np.uint64)).sum(axis=1, dtype=np.int64)
    correct[rest] = -1
    return correct


def _keep_best(found: dict[Members, int], rest: list[int], correct: NDArray[np.int64], top: int) -> dict[Members, int]:
    floor = min(found.values()) + 1 if len(found) == top else 0
    for candidate in np.flatnonzero(correct >= floor).tolist():
        found[tuple(sorted([*rest, candidate]))] = int(correct[candidate])
    kept = sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))[:top]
    return dict(kept)
