"""Compiled: the bit-sliced search among the ensembles that may stand, see ``conditions``, in parts on all processors.

As ``kernel`` does it, but whoever comes after a member comes after its whole group, and ensembles that lack what is
required are neither counted nor offered; beginnings that cannot be completed any more are left.
"""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.common.progress import Progress
from ser_store.voting.compiled.best import FLOOR, Best, list_best, offer
from ser_store.voting.compiled.bit_planes import Candidates, Ints, add_vote, pack_utterances, vote_middle
from ser_store.voting.compiled.bitsliced import encode_candidates
from ser_store.voting.compiled.jit import compiled, compiled_inner
from ser_store.voting.compiled.kernel import Work, count_scores, vote_last, vote_second_last, weigh
from ser_store.voting.compiled.parts import PART_SIZE, count_processors
from ser_store.voting.compiled.workspace import make_work
from ser_store.voting.constraints import Constraints
from ser_store.voting.problem import Problem
from ser_store.voting.top_k import Tally


class Standing(NamedTuple):
    """The conditions by the candidates' numbers in the kernel, each ``(end + 1,)``; see ``Constraints``."""

    following: Ints
    hits: Ints
    later_hits: Ints
    needed: int


def search_grouped_bitsliced(problem: Problem, tally: Tally, *, threads: int | None, progress: Progress) -> None:
    """Every ensemble that may stand into ``tally``; of a problem that is bit-sliceable."""
    if problem.constraints is None:
        raise ValueError("this problem has no constraints")
    total, conditions = problem.total, problem.constraints
    # Ensembles that all hold the same members stay in lexicographic order when these come first: which of two comes
    # first is decided by the first member that only one of them has. So beginnings without them need not be tried.
    order, conditions = conditions.put_fixed_first()
    candidates = encode_candidates(replace(problem, predictions=problem.predictions[order]))
    standing = _number_from(candidates.first, conditions)
    n_rooted = max(0, problem.k - 3)
    n_roots = conditions.count_beginnings(n_rooted)
    per_part = max(1, n_roots * max(1, PART_SIZE // problem.n) // total)
    n_threads = threads or count_processors()
    pool = ThreadPoolExecutor(n_threads)

    def iter_done() -> Iterator[tuple[NDArray[np.int64], Best]]:
        running: set[Future[tuple[NDArray[np.int64], Best]]] = set()
        for roots in _iter_roots(conditions, n_rooted, per_part):
            shifted = roots + candidates.first
            running.add(pool.submit(_search_part, candidates, standing, shifted, top=tally.top, floor=tally.floor))
            if len(running) >= 2 * n_threads:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in running)

    try:
        for histogram, best in progress(iter_done(), total=-(-n_roots // per_part), label="voting"):
            correct, balance, members = list_best(best, first=candidates.first)
            tally.offer(correct, balance, np.sort(order[members], axis=1))
            tally.histogram += histogram
    finally:
        pool.shutdown(cancel_futures=True)


def _number_from(first: int, conditions: Constraints) -> Standing:
    nobody = np.zeros(first, dtype=np.int64)
    return Standing(
        following=np.concatenate([nobody, conditions.following + first, [0]]),
        hits=np.concatenate([nobody, conditions.hits, [0]]),
        later_hits=np.concatenate([nobody, conditions.later_hits]),
        needed=conditions.needed,
    )


def _iter_roots(conditions: Constraints, size: int, per_part: int) -> Iterator[NDArray[np.int64]]:
    """All beginnings of ``size`` members, some at a time, ``(e, size)``."""
    for roots, _ in conditions.iter_subsets(size, stop=conditions.m):
        for start in range(0, len(roots), per_part):
            yield np.ascontiguousarray(roots[start : start + per_part], dtype=np.int64)


def _search_part(
    candidates: Candidates, standing: Standing, roots: NDArray[np.int64], *, top: int, floor: int
) -> tuple[NDArray[np.int64], Best]:
    histogram = np.zeros((len(candidates.weights) + 1, 8), dtype=np.int64)
    work = make_work(candidates, top=top, floor=floor, histogram=histogram.ravel())
    search_standing(work, standing, roots)
    return histogram.sum(axis=1), work.best


@compiled
def search_standing(work: Work, standing: Standing, roots: Ints) -> None:
    """Every ensemble that may stand and begins with one of ``roots``, ``(e, k - 3)``, in lexicographic order.

    For ``k = 2`` the roots are ``(1, 0)``.
    """
    candidates, tree, pack, path = work.candidates, work.tree, work.pack, work.terms.path
    planes, slots, valid, reached, middle = pack.planes, pack.slots, pack.valid, pack.reached, pack.middle
    masks, places, base, scores = work.terms.masks, work.terms.places, work.terms.base, work.terms.scores
    state, histogram = work.best.state, work.histogram
    following, hits, later_hits, needed = standing.following, standing.hits, standing.later_hits, standing.needed
    first, end = candidates.first, candidates.end
    n_rooted = roots.shape[1]
    votes_left = candidates.k - n_rooted
    row = n_rooted + 1
    for number in range(len(roots)):
        same = number > 0
        root = first - 1
        begin = first
        held_by_root = np.int64(0)
        for depth in range(n_rooted + 1):
            if depth > 0:
                root = roots[number, depth - 1]
                same = same and root == roots[number - 1, depth - 1]
                path[depth - 1] = root
                begin = following[root]
                held_by_root |= hits[root]
            if not same:
                add_vote(candidates, tree, depth, root)
        settled = tree.correct[row]
        n_words = pack_utterances(candidates, tree, pack, row, root, votes_left)
        stop = end - 2
        if votes_left == 2:
            begin, stop = root, root + 1
        for third_last in range(begin, stop):
            held = held_by_root
            after = first
            if votes_left == 3:
                if (held | later_hits[third_last]) != needed:
                    break
                path[n_rooted] = third_last
                held |= hits[third_last]
                after = following[third_last]
            vote_middle(planes, slots, reached, middle, n_words, third_last, end, votes_left)
            for block in range(after // 8 * 8, end - 1, 8):
                if (held | later_hits[max(block, after)]) != needed:
                    break
                n_gains, n_losses = vote_second_last(
                    planes, slots, valid, middle, masks, places, base, settled, n_words, block, end
                )
                for second_last in range(max(block, after), min(block + 8, end - 1)):
                    held_by_all = held | hits[second_last]
                    last = following[second_last]
                    if (held_by_all | later_hits[last]) != needed:
                        continue
                    reaches = vote_last(
                        planes, masks, places, base, scores, state, n_words, n_gains, n_losses, second_last, end
                    )
                    if held_by_all == needed:
                        count_scores(histogram, scores, last - 1, end)
                    else:
                        count_standing(histogram, scores, hits, held_by_all, needed, last, end)
                    # Whoever may not stand may be among those who reach.
                    if reaches:
                        consider_standing(work, standing, held_by_all, row, n_words, n_gains, n_losses, second_last)


@compiled_inner
def count_standing(
    histogram: Ints, scores: NDArray[np.uint64], hits: Ints, held: int, needed: int, begin: int, end: int
) -> None:
    """The scores of those candidates from ``begin`` on into the histogram who complete what is ``held``."""
    for last in range(begin, end):
        if (held | hits[last]) == needed:
            histogram[8 * np.int64(scores[last]) + (last & 7)] += 1


@compiled_inner
def consider_standing(
    work: Work, standing: Standing, held: int, row: int, n_words: int, n_gains: int, n_losses: int, second_last: int
) -> None:
    """Offer the contenders among the ensembles that end with ``second_last`` and one after its group."""
    candidates, pack, terms, best = work.candidates, work.pack, work.terms, work.best
    scores, path, state = terms.scores, terms.path, best.state
    path[candidates.k - 2] = second_last
    for last in range(standing.following[second_last], candidates.end):
        correct = int(scores[last])
        if correct < state[FLOOR] or (held | standing.hits[last]) != standing.needed:
            continue
        path[candidates.k - 1] = last
        balance = work.tree.balance[row] + weigh(
            pack.planes, pack.classes, terms.masks, terms.places, terms.right, candidates.class_weights,
            n_words, n_gains, n_losses, second_last & 7, last,
        )  # fmt: skip
        offer(best, correct, balance, path, candidates.best_balance)
