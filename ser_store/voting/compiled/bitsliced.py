"""The bit-sliced search: what goes into the kernel, and what comes out."""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.bit_planes import CodedVotes
from ser_store.voting.compiled.bounding import search_roots
from ser_store.voting.compiled.kernel import search_part
from ser_store.voting.compiled.parts import Part, Scores, search_in_threads
from ser_store.voting.compiled.workspace import Best, make_work
from ser_store.voting.problem import Problem
from ser_store.voting.subsets import Constraints, make_constraints
from ser_store.voting.top_k import Tally, bound_balance, weigh_utterances
from ser_store_h5.progress import Progress, silent

# Bytes of the table of votes that remain; beyond it, it is kept for every second, third, … candidate.
REMAINING_BYTES = 2**26
# Ensembles times utterances of a part of which few are voted; see ``parts``.
HOPEFUL_PART_SIZE = 2**32


def search_bitsliced(
    problem: Problem, tally: Tally, *, threads: int | None, progress: Progress, kept: Scores | None = None
) -> None:
    """Vote every ensemble of a problem that is bit-sliceable, and count it in ``tally``.

    Of a problem with constraints only those that are allowed are voted, and nothing is kept.
    """
    # Ensembles that all hold the same members stay in lexicographic order when these come first: which of two comes
    # first is decided by the first member that only one of them has. So beginnings without them need not be tried.
    order, constraints = (problem.constraints or make_constraints(problem.m)).put_fixed_first()
    search_in_threads(
        encode_candidates(replace(problem, predictions=problem.predictions[order])),
        partial(search_bitsliced_part, constraints=constraints),
        tally,
        threads=threads,
        progress=progress,
        kept=kept,
        constraints=constraints,
        order=order,
    )


def search_hopeful(problem: Problem, tally: Tally, *, threads: int | None) -> None:
    """Offer to ``tally`` the best ensembles of a problem without constraints, of four members or more, and count none.

    What cannot reach the tally's floor is left out as soon as that is known, see ``bounding``: the higher the
    floor to begin with, the less there is to vote.
    """
    candidates = encode_candidates(problem)
    size = HOPEFUL_PART_SIZE
    search_in_threads(candidates, search_hopeful_part, tally, threads=threads, progress=silent, part_size=size)


def encode_candidates(problem: Problem) -> CodedVotes:
    """Return the candidates' votes relative to the truth, the hardest utterances first: words fill with like ones."""
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
    return CodedVotes(
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
    """Return the stride and the counts of :class:`CodedVotes`."""
    n, end = codes.shape
    stride = -(-(end + 1) * n * n_codes // REMAINING_BYTES)
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


def search_bitsliced_part(
    candidates: CodedVotes,
    part: Part,
    *,
    top: int,
    floor: int,
    kept: Scores | None = None,
    constraints: Constraints | None = None,
) -> tuple[NDArray[np.int64], Best]:
    """Return the histogram and the best of a part; the scores of all its ensembles into ``kept``, if there is one."""
    histogram = np.zeros((len(candidates.best_balance), 8), dtype=np.int64)
    work = make_work(candidates, constraints=constraints, top=top, floor=floor, histogram=histogram.ravel(), kept=kept)
    search_part(work, part.roots, part.first_middle, part.end_middle)
    return histogram.sum(axis=1), work.best


def search_hopeful_part(
    candidates: CodedVotes, part: Part, *, top: int, floor: int, kept: Scores | None = None
) -> tuple[NDArray[np.int64], Best]:
    """Return the best of a part that have at least ``floor`` utterances right, and a histogram of none."""
    work = make_work(candidates, top=top, floor=floor, kept=kept)
    search_roots(work, part.roots)
    return np.zeros_like(candidates.best_balance), work.best
