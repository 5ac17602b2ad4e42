"""The exhaustive search where not every ensemble may stand: one step of each run at most, some members required."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.common.progress import Progress, silent
from ser_store.errors import EnsembleError
from ser_store.voting import numpy_search as batched
from ser_store.voting.constraints import Conditions, set_conditions
from ser_store.voting.numpy_search import encode, tally_block
from ser_store.voting.problem import Problem, pose_problem
from ser_store.voting.quantize import Logits
from ser_store.voting.search import SearchResult, choose_backend, make_tally, score_ensemble
from ser_store.voting.top_k import Tally, weigh_utterances

# Ensembles times utterances from which compiled code is worth loading, as in ``search``.
GROUPED_BITSLICED_FROM = 2_000_000 * 288


def search_grouped(
    predictions: ArrayLike,
    truth: ArrayLike,
    *,
    k: int,
    n_classes: int,
    groups: ArrayLike | None = None,
    required: Sequence[Sequence[int]] = (),
    rule: str = "hard",
    tie: str = "lowest",
    probabilities: ArrayLike | Logits | None = None,
    weights: ArrayLike | None = None,
    objective: str = "accuracy",
    top: int = 20,
    backend: str = "auto",
    threads: int | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """What :func:`~ser_store.voting.search.search_ensembles` finds among those ensembles that hold at most one
    candidate of each group and at least one of each set that is required.

    Only these are voted. Of six runs at 14 steps 3,226,944 of the 30,872,016 ensembles of five hold a run once at most.

    Args:
        groups: ``(m,)`` whole numbers, the same for candidates of one group, which must stand next to each other.
            Default: everyone is a group of its own.
        required: sets of indices of candidates.
        backend: ``batched`` numpy; ``bitsliced`` compiled code (plain hard voting of two or more); or ``auto``.
        predictions, truth, k, n_classes, rule, tie, probabilities, weights, objective, top, threads, progress: as in
            ``search_ensembles``.

    Raises:
        EnsembleError: as ``search_ensembles``; if no ensemble may stand, or the groups are scattered.
        UnknownNameError: as ``search_ensembles``.

    >>> found = search_grouped([[0, 1], [0, 0], [1, 1]], [0, 1], k=2, n_classes=2, groups=[0, 0, 1])
    >>> [score.members for score in found.results]
    [(0, 2), (1, 2)]
    """
    if top < 1:
        raise EnsembleError(f"top is {top}: expected at least 1 ensemble to return")
    # What may stand may be few where all there are would be too many to count.
    posed = pose_problem(
        predictions,
        truth,
        k=1,
        n_classes=n_classes,
        rule=rule,
        tie=tie,
        probabilities=probabilities,
        weights=weights,
        objective=objective,
    )
    problem = replace(posed, k=k)
    conditions = set_conditions(problem.m, groups=groups, required=required)
    total = conditions.count(k) if 1 <= k <= problem.m else 0
    if not total:
        raise EnsembleError(
            f"no ensemble of {k} of {problem.m} members may stand, with at most one of each of {len(conditions.sizes)} "
            f"groups and {len(conditions.required)} required: expected another k or looser conditions"
        )
    chosen = choose_grouped_backend(problem, backend, total=total)
    tally = make_tally(problem, top=top)
    started = time.perf_counter()
    complete = True
    try:
        if chosen == "bitsliced":
            from ser_store.voting.compiled.grouped_kernel import search_grouped_bitsliced

            search_grouped_bitsliced(problem, conditions, tally, total=total, threads=threads, progress=progress)
        else:
            search_grouped_batched(problem, conditions, tally, progress=progress)
    except KeyboardInterrupt:
        complete = False
    return SearchResult(
        k=k,
        rule=rule,
        tie=tie,
        searched=int(tally.histogram.sum()),
        complete=complete,
        seconds=time.perf_counter() - started,
        histogram=tally.histogram,
        results=tuple(score_ensemble(problem, members) for members in tally.members.tolist()),
        objective=objective,
    )


def choose_grouped_backend(problem: Problem, backend: str, *, total: int) -> str:
    """``batched`` or ``bitsliced``: what ``backend`` means for so many ensembles.

    Raises:
        EnsembleError: if it is another back end, or one that cannot vote so.
        UnknownNameError: if there is no such back end.
    """
    if backend == "auto":
        return "bitsliced" if problem.is_bitsliceable and total * problem.n >= GROUPED_BITSLICED_FROM else "batched"
    choose_backend(problem, backend)
    if backend == "summed":
        raise EnsembleError(
            "back end 'summed' with groups or required members: expected 'auto', 'batched' or 'bitsliced'"
        )
    return backend


def search_grouped_batched(problem: Problem, conditions: Conditions, tally: Tally, *, progress: Progress) -> None:
    """Every ensemble that may stand into ``tally``, in numpy, by every rule."""
    margins = encode(problem)
    weights = weigh_utterances(problem.truth, problem.n_classes)
    per_block = max(1, batched.BLOCK_BYTES // margins.bytes_per_ensemble)
    seconds_last = range(problem.k - 2, problem.m) if problem.k > 1 else [-1]
    for q in progress(seconds_last, total=len(seconds_last), label="voting"):
        for prefixes, first, end in _iter_blocks(problem, conditions, q, per_block):
            tally_block(problem, margins, weights, prefixes, first, end, tally)


def _iter_blocks(
    problem: Problem, conditions: Conditions, q: int, per_block: int
) -> Iterator[tuple[NDArray[np.intp], int, int]]:
    """Beginnings whose last member is ``q`` (-1: the empty one), with last members ``first..end-1`` for all of them."""
    if q < 0:
        for first, end in _find_stretches(conditions, 0, 0):
            yield np.empty((1, 0), dtype=np.intp), first, end
        return
    # Nobody of the group of q, which begins where those end that it may follow.
    stop = int(np.searchsorted(conditions.following, q, side="right"))
    for lower, held in conditions.iter_subsets(problem.k - 2, stop=stop, held=int(conditions.hits[q])):
        prefixes = np.column_stack([lower, np.full(len(lower), q)])
        for hit in sorted(set(held.tolist())):
            alike = prefixes[held == hit]
            for first, end in _find_stretches(conditions, int(conditions.following[q]), hit):
                width = min(end - first, per_block)
                height = max(1, per_block // width)
                for begin in range(first, end, width):
                    for start in range(0, len(alike), height):
                        yield alike[start : start + height], begin, min(begin + width, end)


def _find_stretches(conditions: Conditions, start: int, held: int) -> list[tuple[int, int]]:
    """Stretches ``(first, end)`` of candidates from ``start`` on, each of whom completes what is ``held``."""
    completes = ((conditions.hits[start:] | held) & conditions.needed) == conditions.needed
    edges = np.flatnonzero(np.diff(np.concatenate([[False], completes, [False]]).astype(np.int8))) + start
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
