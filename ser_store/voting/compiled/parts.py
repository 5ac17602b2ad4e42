"""The compiled search in parts, on all processors."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.best import Best, list_best
from ser_store.voting.compiled.bit_planes import CodedVotes
from ser_store.voting.compiled.narrowing import Summands
from ser_store.voting.problem import Problem
from ser_store.voting.subsets import Constraints, unrank_subsets
from ser_store.voting.top_k import Tally
from ser_store_h5.progress import Progress

Scores = NDArray[np.signedinteger]

# Ensembles times utterances of one part: some milliseconds, so that parts keep all threads busy to the end and an
# interrupt does not wait, but outweigh the hundred microseconds that a part costs whatever is in it.
PART_SIZE = 2**28


# Candidates numbered ``first..end-1``, of which ``k`` vote on as many utterances as there are ``weights``.
Candidates = CodedVotes | Summands
# Takes candidates, a part, ``top``, ``floor`` and ``kept``, which the scores go into if it is not None; gives the
# histogram and the best of the part.
SearchPart = Callable[..., tuple[NDArray[np.int64], Best]]


@dataclass(frozen=True)
class Part:
    """Ensembles that begin with one of ``roots``, ``(e, k - 3)``, and go on with ``first_middle..end_middle-1``."""

    roots: NDArray[np.int64]
    first_middle: int
    end_middle: int

    def count_ensembles(self, candidates: Candidates) -> int:
        """Return how many they are."""
        k, end = candidates.k, candidates.end
        if k == 2:
            return comb(end - self.first_middle, 2)
        if k == 3:
            return comb(end - self.first_middle, 3) - comb(end - self.end_middle, 3)
        n_after = end - 1 - self.roots[:, -1]
        return int((n_after * (n_after - 1) * (n_after - 2) // 6).sum())


def search_in_threads(
    candidates: Candidates,
    search_part: SearchPart,
    tally: Tally,
    *,
    threads: int | None,
    progress: Progress,
    kept: Scores | None = None,
    allowed: "AllowedParts | None" = None,
    part_size: int | None = None,
) -> None:
    """Vote every ensemble of ``candidates`` into ``tally``, and its utterances right into ``kept``, lexicographically.

    Args:
        allowed: the parts that are allowed, in place of all.
        part_size: ensembles times utterances of one part. Default: ``PART_SIZE``.
    """
    n_threads = threads or count_processors()
    total = allowed.count if allowed else sum(1 for _ in iter_parts(candidates, with_roots=False, part_size=part_size))
    parts = iter_parts(candidates, part_size=part_size) if allowed is None else allowed.iter_parts(candidates)
    pool = ThreadPoolExecutor(n_threads)
    try:
        done = _iter_done(pool, candidates, parts, search_part, tally, n_threads, kept)
        for histogram, best in progress(done, total=total, label="voting"):
            correct, balance, members = list_best(best, first=candidates.first)
            tally.offer(correct, balance, members if allowed is None else np.sort(allowed.order[members], axis=1))
            tally.histogram += histogram
    finally:
        pool.shutdown(cancel_futures=True)


def iter_parts(candidates: Candidates, *, with_roots: bool = True, part_size: int | None = None) -> Iterator[Part]:
    """Yield parts that cover every ensemble once; ``roots`` are left empty if they are only to be counted."""
    k, first, end, n = candidates.k, candidates.first, candidates.end, len(candidates.weights)
    m = end - first
    per_part = max(1, (part_size or PART_SIZE) // n)
    if k < 4:
        # No roots to divide: by the third last member.
        root = np.empty((1, 0), dtype=np.int64)
        middle = first
        while middle < end:
            stop = middle + 1
            while k == 2 or (stop < end and comb(end - middle, 3) - comb(end - stop, 3) < per_part):
                stop += 1
                if stop >= end:
                    break
            yield Part(root, middle, stop)
            middle = stop
        return
    n_roots = comb(m - 3, k - 3)
    height = max(1, n_roots * per_part // comb(m, k))
    for start in range(0, n_roots, height):
        stop = min(start + height, n_roots)
        roots = np.empty((0, k - 3), dtype=np.int64)
        if with_roots:
            # Colexicographic and downwards is lexicographic and upwards.
            roots = end - 4 - unrank_subsets(n_roots - stop, n_roots - start, size=k - 3)[::-1, ::-1]
        yield Part(np.ascontiguousarray(roots, dtype=np.int64), first, end)


@dataclass(frozen=True, eq=False)
class AllowedParts:
    """The parts of a search with constraints.

    Attributes:
        order: ``(m,)``, which candidate each of those searched is.
        constraints: on these.
        per_part: beginnings of ensembles in a part.
        n_rooted: members of a beginning.
    """

    order: NDArray[np.intp]
    constraints: Constraints
    per_part: int
    n_rooted: int

    @property
    def count(self) -> int:
        """How many parts there are at most."""
        return -(-self.constraints.count_beginnings(self.n_rooted) // self.per_part)

    def iter_parts(self, candidates: Candidates) -> Iterator[Part]:
        """Yield parts that cover every ensemble that is allowed once."""
        for roots, _ in self.constraints.iter_subsets(self.n_rooted, stop=self.constraints.m):
            for start in range(0, len(roots), self.per_part):
                shifted = roots[start : start + self.per_part] + candidates.first
                yield Part(np.ascontiguousarray(shifted, dtype=np.int64), candidates.first, candidates.end)


def divide_allowed(problem: Problem, constraints: Constraints) -> AllowedParts:
    """Return the parts of a problem with constraints, in the order in which its candidates are to be searched."""
    # Ensembles that all hold the same members stay in lexicographic order when these come first: which of two comes
    # first is decided by the first member that only one of them has. So beginnings without them need not be tried.
    order, constraints = constraints.put_fixed_first()
    n_rooted = max(0, problem.k - 3)
    n_roots = constraints.count_beginnings(n_rooted)
    per_part = max(1, n_roots * max(1, PART_SIZE // problem.n) // problem.total)
    return AllowedParts(order, constraints, per_part, n_rooted)


def _iter_done(
    pool: ThreadPoolExecutor,
    candidates: Candidates,
    parts: Iterator[Part],
    search_part: SearchPart,
    tally: Tally,
    n_threads: int,
    kept: Scores | None,
) -> Iterator[tuple[NDArray[np.int64], Best]]:
    """Yield the parts' results as they come, with no more parts under way than keep the threads busy."""
    running: set[Future[tuple[NDArray[np.int64], Best]]] = set()
    start = 0
    for part in parts:
        own = None
        if kept is not None:
            stop = start + part.count_ensembles(candidates)
            own, start = kept[start:stop], stop
        running.add(pool.submit(search_part, candidates, part, top=tally.top, floor=tally.floor, kept=own))
        if len(running) >= 2 * n_threads:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    for future in running:
        yield future.result()


def count_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
