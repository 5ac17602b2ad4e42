"""The arrays that the compiled hard voting works in, of the sizes that the candidates need."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.best import Best, make_best
from ser_store.voting.compiled.bit_planes import CodedVotes, Ints, Pack, Tree, Words
from ser_store.voting.subsets import Constraints, make_constraints


class LastVote(NamedTuple):
    """What the last vote changes, given the second last, for eight candidates at once.

    ``masks``: ``((2 * words + slots) * 8,)``, held, gains and losses. ``places``: ``(3 * (words + slots),)``, of the
    gains and losses that are not empty. ``base``: ``(8,)``, utterances right before these. ``scores``: ``(end,)``,
    utterances right by the last candidate. ``right``: ``(words,)``. ``path``: ``(k,)``, the members.
    """

    masks: Words
    places: Ints
    base: Words
    scores: Words
    right: Words
    path: Ints


class Allowed(NamedTuple):
    """The constraints by the candidates' numbers in the kernel, each ``(end + 1,)``; see ``subsets.Constraints``."""

    following: Ints
    hits: Ints
    later_hits: Ints
    needed: int


class Work(NamedTuple):
    """All that a part of the search reads and writes."""

    candidates: CodedVotes
    allowed: Allowed
    tree: Tree
    pack: Pack
    last_vote: LastVote
    best: Best
    histogram: Ints
    kept: NDArray[np.signedinteger]


def make_work(
    candidates: CodedVotes,
    *,
    constraints: Constraints | None = None,
    top: int,
    floor: int,
    histogram: Ints | None = None,
    kept: NDArray[np.signedinteger] | None = None,
) -> Work:
    """Return what the kernel needs for one part. Without ``kept`` no scores are kept; only pruned search does without a
    ``histogram``."""
    n, r = candidates.margins.shape
    k, n_classes = candidates.k, len(candidates.class_weights)
    n_words = -(-n // 64)
    n_slots = n_words * r
    pack = Pack(
        slots=np.zeros(n_words + 1, dtype=np.int64),
        planes=np.zeros((n_words + n_slots) * candidates.end, dtype=np.uint64),
        reached=np.zeros((n_slots, 9), dtype=np.uint64),
        middle=np.zeros((n_slots, 5), dtype=np.uint64),
        valid=np.zeros(n_words, dtype=np.uint64),
        classes=np.zeros((n_words, n_classes), dtype=np.uint64),
        order=np.zeros(n, dtype=np.int64),
        relevant=np.zeros((n, r), dtype=np.int64),
        n_relevant=np.zeros(n, dtype=np.int64),
    )
    last_vote = LastVote(
        masks=np.zeros((2 * n_words + n_slots) * 8, dtype=np.uint64),
        places=np.zeros(3 * (n_words + n_slots), dtype=np.int64),
        base=np.zeros(8, dtype=np.uint64),
        scores=np.zeros(candidates.end, dtype=np.uint64),
        right=np.zeros(n_words, dtype=np.uint64),
        path=np.zeros(k, dtype=np.int64),
    )
    return Work(
        candidates=candidates,
        allowed=number_from(candidates.first, candidates.end, constraints),
        tree=make_tree(candidates),
        pack=pack,
        last_vote=last_vote,
        best=make_best(top=top, k=k, floor=floor, by_balance=candidates.by_balance),
        histogram=np.empty(0, dtype=np.int64) if histogram is None else histogram,
        kept=np.empty(0, dtype=np.int16) if kept is None else kept,
    )


def number_from(first: int, end: int, constraints: Constraints | None) -> Allowed:
    """Return the constraints, or those that allow all, by the numbers of candidates ``first..end-1``."""
    constraints = constraints or make_constraints(end - first)
    nobody = np.zeros(first, dtype=np.int64)
    return Allowed(
        following=np.concatenate([nobody, constraints.following + first, [0]]),
        hits=np.concatenate([nobody, constraints.hits, [0]]),
        later_hits=np.concatenate([nobody, constraints.later_hits]),
        needed=constraints.needed,
    )


def make_tree(candidates: CodedVotes) -> Tree:
    """Return a tree whose first row is that of no votes."""
    n, r = candidates.margins.shape
    depth = max(0, candidates.k - 3) + 2
    tree = Tree(
        utterances=np.empty((depth, n), dtype=np.int64),
        margins=np.empty((depth, n, r), dtype=np.int16),
        counts=np.zeros(depth, dtype=np.int64),
        correct=np.zeros(depth, dtype=np.int64),
        balance=np.zeros(depth, dtype=np.int64),
    )
    tree.utterances[0] = np.arange(n)
    tree.margins[0] = candidates.margins
    tree.counts[0] = n
    return tree
