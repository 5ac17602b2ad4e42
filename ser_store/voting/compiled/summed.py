"""The compiled search by sums on all processors: what goes into it, and what comes out."""

from copy import deepcopy
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.narrowing import Narrowed, Open, Summands
from ser_store.voting.compiled.parts import Part, Scores, search_in_threads
from ser_store.voting.compiled.summing import SumWork, search_part_by_sums
from ser_store.voting.compiled.workspace import Best, make_best, number_from
from ser_store.voting.numpy_search import search_batched
from ser_store.voting.problem import Problem
from ser_store.voting.subsets import Constraints
from ser_store.voting.top_k import Tally, bound_balance, weigh_utterances
from ser_store_h5.progress import Progress, silent


def search_summed(
    problem: Problem, tally: Tally, *, threads: int | None, progress: Progress, kept: Scores | None = None
) -> None:
    """Vote every ensemble of ``problem``, one that :meth:`Problem.is_summable`, into ``tally``."""
    if problem.fits(problem.k):
        summands = encode_summands(problem)
        search_in_threads(summands, search_summed_part, tally, threads=threads, progress=progress, kept=kept)
        return
    # Sums that are cut off are searched twice: with all that may be right, and with what is right for sure.
    unsure, sure = deepcopy(tally), deepcopy(tally)
    for found, generosity in ((unsure, 1), (sure, -1)):
        summands = encode_summands(problem, generosity=generosity)
        search_in_threads(summands, search_summed_part, found, threads=threads, progress=progress, kept=kept)
    if (unsure.histogram == sure.histogram).all():
        tally.histogram += sure.histogram
        tally.offer(sure.correct, sure.balance, sure.members)
    else:
        search_batched(problem, tally, progress=progress, kept=kept)


def search_hopeful_sums(problem: Problem, tally: Tally, *, threads: int | None) -> None:
    """Offer to ``tally`` the best ensembles that are allowed, of three members or more with exact sums; count none.

    What cannot reach the tally's floor is left out: the higher that is to begin with, the less there is to vote.
    """
    search_part = partial(search_summed_part, constraints=problem.constraints, counts=False)
    summands, constraints = encode_summands(problem), problem.constraints
    search_in_threads(summands, search_part, tally, threads=threads, progress=silent, constraints=constraints)


def encode_summands(problem: Problem, *, generosity: int = 0) -> Summands:
    """Return the margins of every utterance's truth over its rivals, of those that can win and of those they can lose.

    Args:
        generosity: where sums are cut off, 1 to take as right what may be, -1 what is for sure.
    """
    m = problem.m
    margins, start, is_lost, can_win = find_open(problem, generosity=generosity)
    is_open = can_win.any(axis=1)

    margins = margins[can_win]
    end = -(-m // 8) * 8
    table = np.zeros((3, len(margins), end), dtype=np.int64)
    table[0, :, end - m :] = margins
    # Nobody comes after the last.
    for place, extreme in ((1, np.minimum), (2, np.maximum)):
        table[place, :, end - m : -1] = extreme.accumulate(margins[:, :0:-1], axis=1)[:, ::-1]
        table[place, :, : end - m] = extreme.reduce(margins, axis=1, keepdims=True) if len(margins) else 0
    weights = weigh_utterances(problem.truth, problem.n_classes)
    is_right = ~is_lost & ~is_open
    return Summands(
        k=problem.k,
        first=end - m,
        end=end,
        margins=table[0].ravel(),
        lowest=table[1].ravel(),
        highest=table[2].ravel(),
        starts=np.append(0, can_win[is_open].sum(axis=1).cumsum()).astype(np.int64),
        sums=start[can_win],
        correct=int(is_right.sum()),
        balance=int(weights[is_right].sum()),
        weights=np.concatenate([weights[is_open], weights[~is_open]]),
        best_balance=bound_balance(weights),
        by_balance=problem.objective == "balanced_accuracy",
    )


def find_open(
    problem: Problem, *, generosity: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return each truth's margins over its rivals: what candidates add, ``(n, c - 1, m)``, and those of no votes,
    ``(n, c - 1)``; which utterances all ensembles lose, ``(n,)``, and else which rivals can win, ``(n, c - 1)``.
    """
    k, n, truth = problem.k, problem.n, problem.truth
    margins, slack = _compute_margins(problem)
    start = np.full((n, problem.n_classes - 1), -1 if not slack else generosity * slack, dtype=np.int64)
    if problem.tie == "lowest" and not slack:
        # Rivals are the classes without the truth: the first of them are below it.
        start = -(np.arange(problem.n_classes - 1) < truth[:, None]).astype(np.int64)
    is_lost = (start + k * margins.max(axis=2) < 0).any(axis=1)
    return margins, start, is_lost, (start + k * margins.min(axis=2) < 0) & ~is_lost[:, None]


def _compute_margins(problem: Problem) -> tuple[NDArray[np.int64], int]:
    """What each candidate gives the truth less what it gives each rival, ``(n, c - 1, m)``; and how wrong sums of these
    may be."""
    m, n, n_classes, truth = problem.m, problem.n, problem.n_classes, problem.truth
    weights, steps, slack = problem.cut_off()
    if steps is None:
        steps = (problem.predictions[:, :, None] == np.arange(n_classes)).astype(np.int64)
        steps *= 1 if weights is None else weights[:, None, None]
    own = np.take_along_axis(steps, truth[None, :, None], axis=2)
    rivals = steps[:, np.arange(n_classes) != truth[:, None]].reshape(m, n, n_classes - 1)
    return np.ascontiguousarray((own - rivals).transpose(1, 2, 0)), slack


def search_summed_part(
    candidates: Summands,
    part: Part,
    *,
    top: int,
    floor: int,
    kept: Scores | None = None,
    constraints: Constraints | None = None,
    counts: bool = True,
) -> tuple[NDArray[np.int64], Best]:
    """Return the histogram and the best of a part; the scores of all its ensembles into ``kept``, if there is one.

    Unless it ``counts``, the histogram is one of none, and what cannot be among the best is left out.
    """
    histogram = np.zeros((len(candidates.best_balance) if counts else 0, 8), dtype=np.int64)
    work = _make_work(candidates, constraints, top=top, floor=floor, histogram=histogram.ravel(), kept=kept)
    search_part_by_sums(work, part.roots, part.first_middle, part.end_middle)
    return histogram.sum(axis=1) if counts else np.zeros_like(candidates.best_balance), work.best


def _make_work(
    summands: Summands,
    constraints: Constraints | None,
    *,
    top: int,
    floor: int,
    histogram: NDArray[np.int64],
    kept: Scores | None,
) -> SumWork:
    k, n_utterances, n_pairs = summands.k, len(summands.starts) - 1, len(summands.sums)
    n_rows = max(1, k - 1)
    narrowed = Narrowed(
        utterances=np.zeros((n_rows, n_utterances), dtype=np.int64),
        starts=np.zeros((n_rows, n_utterances + 1), dtype=np.int64),
        pairs=np.zeros((n_rows, n_pairs), dtype=np.int64),
        sums=np.zeros((n_rows, n_pairs), dtype=np.int64),
        counts=np.zeros(n_rows, dtype=np.int64),
        correct=np.zeros(n_rows, dtype=np.int64),
        balance=np.zeros(n_rows, dtype=np.int64),
    )
    narrowed.utterances[0] = np.arange(n_utterances)
    narrowed.starts[0] = summands.starts
    narrowed.pairs[0] = np.arange(n_pairs)
    narrowed.sums[0] = summands.sums
    narrowed.counts[0], narrowed.correct[0], narrowed.balance[0] = n_utterances, summands.correct, summands.balance
    n_rivals = int(np.diff(summands.starts).max(initial=0))
    opened = Open(
        places=np.zeros(8 * n_pairs, dtype=np.int64),
        sums=np.zeros(8 * n_pairs, dtype=np.int64),
        is_last=np.zeros(8 * n_pairs, dtype=np.int64),
        n_single=np.zeros(8, dtype=np.int64),
        n_several=np.zeros(8, dtype=np.int64),
        correct=np.zeros(8, dtype=np.int64),
        with_vote=np.zeros(8 * n_rivals, dtype=np.int64),
        at_worst=np.zeros(8 * n_rivals, dtype=np.int64),
    )
    return SumWork(
        summands,
        number_from(summands.first, summands.end, constraints),
        narrowed,
        opened,
        scores=np.zeros(summands.end, dtype=np.uint64),
        path=np.zeros(k, dtype=np.int64),
        best=make_best(top=top, k=k, floor=floor, by_balance=summands.by_balance),
        histogram=histogram,
        kept=np.empty(0, dtype=np.int16) if kept is None else kept,
    )
