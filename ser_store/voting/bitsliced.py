"""The compiled search on all processors: what goes into the kernel, its parts, and what comes out."""

import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from math import comb
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ser_store.progress import Progress
from ser_store.voting.best import SIZE, Best, make_best
from ser_store.voting.contenders import Tally, bound_balance, weigh_utterances
from ser_store.voting.kernel import Terms, Work, search_part
from ser_store.voting.packing import Candidates, Pack, Tree
from ser_store.voting.problem import Problem
from ser_store.voting.subsets import unrank_subsets

Scores = NDArray[np.signedinteger]

# Ensembles times utterances of one part: some milliseconds, so that parts keep all threads busy to the end and an
# interrupt does not wait, but outweigh the hundred microseconds that a part costs whatever is in it.
_PART_SIZE = 2**28
# Bytes of the table of votes that remain; beyond it, it is kept for every second, third, … candidate.
_REMAINING_BYTES = 2**26


class Divisible(Protocol):
    """Candidates numbered ``first..end-1``, of which ``k`` vote on as many utterances as there are ``weights``."""

    @property
    def k(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def weights(self) -> NDArray[np.int64]: ...


C = TypeVar("C", bound=Divisible)
C_contra = TypeVar("C_contra", bound=Divisible, contravariant=True)


class SearchPart(Protocol[C_contra]):
    """The histogram and the best of a part, whose scores go into ``kept`` if there is one."""

    def __call__(
        self, candidates: C_contra, part: "_Part", *, top: int, floor: int, kept: Scores | None = None
    ) -> tuple[NDArray[np.int64], Best]: ...


@dataclass(frozen=True)
class _Part:
    """Ensembles that begin with one of ``roots``, ``(e, k - 3)``, and go on with ``first_middle..end_middle-1``."""

    roots: NDArray[np.int64]
    first_middle: int
    end_middle: int

    def count_ensembles(self, candidates: Divisible) -> int:
        """How many they are."""
        k, end = candidates.k, candidates.end
        if k == 2:
            return comb(end - self.first_middle, 2)
        if k == 3:
            return comb(end - self.first_middle, 3) - comb(end - self.end_middle, 3)
        n_after = end - 1 - self.roots[:, -1]
        return int((n_after * (n_after - 1) * (n_after - 2) // 6).sum())


def search_bitsliced(
    problem: Problem, tally: Tally, *, threads: int | None, progress: Progress, kept: Scores | None = None
) -> None:
    """Every ensemble of ``problem``, one that :meth:`Problem.is_bitsliceable`, into ``tally``."""
    search_in_threads(encode_candidates(problem), _search_part, tally, threads=threads, progress=progress, kept=kept)


def search_in_threads(
    candidates: C,
    search_part: SearchPart[C],
    tally: Tally,
    *,
    threads: int | None,
    progress: Progress,
    kept: Scores | None = None,
) -> None:
    """Every ensemble of ``candidates`` into ``tally``, and its utterances right into ``kept``, lexicographically."""
    n_threads = threads or _count_processors()
    total = sum(1 for _ in _iter_parts(candidates, with_roots=False))
    pool = ThreadPoolExecutor(n_threads)
    try:
        done = _iter_done(pool, candidates, search_part, tally, n_threads, kept)
        for histogram, best in progress(done, total=total, label="voting"):
            found = slice(0, best.state[SIZE])
            tally.offer(best.correct[found], best.balance[found], best.members[found] - candidates.first)
            tally.histogram += histogram
    finally:
        pool.shutdown(cancel_futures=True)


def encode_candidates(problem: Problem) -> Candidates:
    """The candidates' votes relative to the truth. The hardest utterances come first, so that words fill with likes."""
    hardest_first = np.argsort((problem.predictions == problem.truth).sum(axis=0), kind="stable")
    predictions, truth = problem.predictions[:, hardest_first], problem.truth[hardest_first]
    m, n = predictions.shape
    end = -(-m // 8) * 8
    utterance = np.arange(n)
    is_rival = np.zeros((n, problem.n_classes), dtype=bool)
    is_rival[utterance, predictions] = True
    is_rival[utterance, truth] = False
    number = np.where(is_rival, is_rival.cumsum(axis=1), 0)
    n_rivals = is_rival.sum(axis=1)
    r = max(1, int(n_rivals.max()))

    codes = np.zeros((n, end), dtype=np.uint8)
    codes[:, end - m :] = number[utterance, predictions].T
    margins = np.zeros((n, r), dtype=np.int16)
    of, rival = np.nonzero(is_rival)
    loses_even_vote = rival < truth[of] if problem.tie == "lowest" else np.ones(len(of), dtype=bool)
    margins[of, number[of, rival] - 1] = -loses_even_vote.astype(np.int16)

    weights = weigh_utterances(truth, problem.n_classes)
    class_weights = np.zeros(problem.n_classes, dtype=np.int64)
    class_weights[truth] = weights
    stride, remaining = _count_remaining(codes, first=end - m, n_codes=r + 1)
    return Candidates(
        k=problem.k,
        first=end - m,
        end=end,
        stride=stride,
        codes=codes.ravel(),
        n_rivals=n_rivals.astype(np.int64),
        margins=margins,
        remaining=remaining,
        truth=truth.astype(np.int64),
        weights=weights,
        class_weights=class_weights,
        best_balance=bound_balance(weights),
        by_balance=problem.objective == "balanced_accuracy",
    )


def _count_remaining(codes: NDArray[np.uint8], *, first: int, n_codes: int) -> tuple[int, NDArray[np.uint8]]:
    """The stride and the counts of :class:`Candidates`."""
    n, end = codes.shape
    stride = -(-(end + 1) * n * n_codes // _REMAINING_BYTES)
    starts = range(0, end + 1, stride)
    counts = np.zeros((len(starts), n, n_codes), dtype=np.uint8)
    running = np.zeros((n, n_codes), dtype=np.int64)
    row = len(starts) - 1
    for candidate in range(end, -1, -1):
        if first <= candidate < end:
            running[np.arange(n), codes[:, candidate]] += 1
        if candidate == starts[row]:
            counts[row] = np.minimum(running, 255)
            row -= 1
    return stride, counts


def _iter_parts(candidates: Divisible, *, with_roots: bool = True) -> Iterator[_Part]:
    """Parts that cover every ensemble once; ``roots`` are left empty if they are only to be counted."""
    k, first, end, n = candidates.k, candidates.first, candidates.end, len(candidates.weights)
    m = end - first
    per_part = max(1, _PART_SIZE // n)
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
            yield _Part(root, middle, stop)
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
        yield _Part(np.ascontiguousarray(roots, dtype=np.int64), first, end)


def _iter_done(
    pool: ThreadPoolExecutor,
    candidates: C,
    search_part: SearchPart[C],
    tally: Tally,
    n_threads: int,
    kept: Scores | None,
) -> Iterator[tuple[NDArray[np.int64], Best]]:
    """The parts' results as they come, with no more parts under way than keep the threads busy."""
    running: set[Future[tuple[NDArray[np.int64], Best]]] = set()
    start = 0
    for part in _iter_parts(candidates):
        stop = start + part.count_ensembles(candidates)
        own = None if kept is None else kept[start:stop]
        start = stop
        running.add(pool.submit(search_part, candidates, part, top=tally.top, floor=tally.floor, kept=own))
        if len(running) >= 2 * n_threads:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    for future in running:
        yield future.result()


def _search_part(
    candidates: Candidates, part: _Part, *, top: int, floor: int, kept: Scores | None = None
) -> tuple[NDArray[np.int64], Best]:
    """The histogram and the best of a part; the scores of all its ensembles into ``kept``, if there is one."""
    work = make_work(candidates, top=top, floor=floor, kept=kept)
    search_part(work, part.roots, part.first_middle, part.end_middle)
    return work.histogram.reshape(-1, 8).sum(axis=1), work.best


def make_work(candidates: Candidates, *, top: int, floor: int, kept: Scores | None = None) -> Work:
    """What the kernel needs for one part."""
    n, r = candidates.margins.shape
    k, n_classes = candidates.k, len(candidates.class_weights)
    n_words = -(-n // 64)
    n_slots = n_words * r
    best = make_best(top=top, k=k, floor=floor, by_balance=candidates.by_balance)
    histogram = np.zeros((n + 1, 8), dtype=np.int64)
    pack = Pack(
        slots=np.zeros(n_words + 1, dtype=np.int64),
        planes=np.zeros((n_words + n_slots) * candidates.end, dtype=np.uint64),
        reached=np.zeros((n_slots, 7), dtype=np.uint64),
        middle=np.zeros((n_slots, 5), dtype=np.uint64),
        valid=np.zeros(n_words, dtype=np.uint64),
        classes=np.zeros((n_words, n_classes), dtype=np.uint64),
        order=np.zeros(n, dtype=np.int64),
        relevant=np.zeros((n, r), dtype=np.int64),
        n_relevant=np.zeros(n, dtype=np.int64),
    )
    terms = Terms(
        masks=np.zeros((2 * n_words + n_slots) * 8, dtype=np.uint64),
        places=np.zeros(3 * (n_words + n_slots), dtype=np.int64),
        base=np.zeros(8, dtype=np.uint64),
        scores=np.zeros(candidates.end, dtype=np.uint64),
        right=np.zeros(n_words, dtype=np.uint64),
        path=np.zeros(k, dtype=np.int64),
    )
    kept = np.empty(0, dtype=np.int16) if kept is None else kept
    return Work(candidates, _make_tree(candidates), pack, terms, best, histogram.ravel(), kept)


def _make_tree(candidates: Candidates) -> Tree:
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


def _count_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
