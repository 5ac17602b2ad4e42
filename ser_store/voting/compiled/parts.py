"""The compiled search in parts, on all processors."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.bit_planes import CodedVotes
from ser_store.voting.compiled.narrowing import Summands
from ser_store.voting.compiled.workspace import Best, list_best
from ser_store.voting.subsets import Constraints, make_constraints
from ser_store.voting.top_k import Tally
from ser_store_h5.progress import Progress

Scores = NDArray[np.signedinteger]
T = TypeVar("T")

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
    constraints: Constraints | None = None,
    order: NDArray[np.intp] | None = None,
    part_size: int | None = None,
) -> None:
    """Vote every ensemble of ``candidates`` into ``tally``, and its utterances right into ``kept``, lexicographically.

    Args:
        constraints: ensembles that begin otherwise are left out. Default: all are voted.
        order: ``(m,)``, which of the problem's candidates each of these is. Default: they are in its order.
        part_size: ensembles times utterances of one part. Default: ``PART_SIZE``.
    """
    total = count_parts(candidates, constraints, part_size=part_size)

    def iter_calls() -> Iterator[Callable[[], tuple[NDArray[np.int64], Best]]]:
        start = 0
        for part in iter_parts(candidates, constraints, part_size=part_size):
            own = None
            if kept is not None:
                stop = start + part.count_ensembles(candidates)
                own, start = kept[start:stop], stop
            yield partial(search_part, candidates, part, top=tally.top, floor=tally.floor, kept=own)

    with closing(run_in_threads(iter_calls(), threads or count_processors())) as done:
        for histogram, best in progress(done, total=total, label="voting"):
            correct, balance, members = list_best(best, first=candidates.first)
            tally.offer(correct, balance, members if order is None else np.sort(order[members], axis=1))
            tally.histogram += histogram


def iter_parts(
    candidates: Candidates, constraints: Constraints | None = None, *, part_size: int | None = None
) -> Iterator[Part]:
    """Yield parts that cover every ensemble that is allowed once."""
    k, first, end = candidates.k, candidates.first, candidates.end
    if k >= 4:
        constraints = constraints or make_constraints(end - first)
        n_rows = _count_rows(candidates, constraints, part_size)[1]
        for roots in constraints.iter_rows(k - 3, stop=end - first - 3, n_rows=n_rows):
            yield Part(np.ascontiguousarray(roots + first, dtype=np.int64), first, end)
        return
    # No roots to divide: by the third last member.
    root = np.empty((1, 0), dtype=np.int64)
    per_part = _count_per_part(candidates, part_size)
    middle = first
    while middle < end:
        stop = middle + 1
        while k == 2 or (stop < end and comb(end - middle, 3) - comb(end - stop, 3) < per_part):
            stop += 1
            if stop >= end:
                break
        yield Part(root, middle, stop)
        middle = stop


def count_parts(candidates: Candidates, constraints: Constraints | None = None, *, part_size: int | None = None) -> int:
    """Return how many parts there are at most; without constraints, how many there are."""
    if candidates.k < 4:
        return sum(1 for _ in iter_parts(candidates, part_size=part_size))
    constraints = constraints or make_constraints(candidates.end - candidates.first)
    n_roots, n_rows = _count_rows(candidates, constraints, part_size)
    return -(-n_roots // n_rows)


def _count_rows(candidates: Candidates, constraints: Constraints, part_size: int | None) -> tuple[int, int]:
    """Return how many roots there are, and how many a part has."""
    n_roots = constraints.count_beginnings(candidates.k - 3, stop=constraints.m - 3)
    total = max(1, constraints.count(candidates.k))
    return n_roots, max(1, n_roots * _count_per_part(candidates, part_size) // total)


def _count_per_part(candidates: Candidates, part_size: int | None) -> int:
    return max(1, (part_size or PART_SIZE) // len(candidates.weights))


def run_in_threads(
    calls: Iterable[Callable[[], T]],
    n_threads: int,
    *,
    in_order: bool = False,
    stop: Callable[[], None] | None = None,
) -> Generator[T, None, None]:
    """Yield what ``calls`` return as it comes, or ``in_order``; no more are under way than keep all threads busy, and
    none is made earlier. In the end, also that of an interrupt, ``stop`` has those under way end."""
    pool = ThreadPoolExecutor(n_threads)
    running: list[Future[T]] = []
    try:
        for call in calls:
            running.append(pool.submit(call))
            if len(running) >= 2 * n_threads:
                for future in running[:1] if in_order else wait(running, return_when=FIRST_COMPLETED).done:
                    running.remove(future)
                    yield future.result()
        for future in running:
            yield future.result()
    finally:
        if stop is not None:
            stop()
        pool.shutdown(cancel_futures=True)


def count_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
