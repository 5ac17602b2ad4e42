"""The exhaustive search over the k-member ensembles of m candidates: exact, complete, flat in memory."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.common.checks import check_choice, check_number
from ser_store.errors import EnsembleError
from ser_store.metrics import compute_balanced_accuracy
from ser_store.voting.compiled import find_obstacle
from ser_store.voting.numpy_search import search_batched
from ser_store.voting.problem import Problem, check_countable, pose_problem
from ser_store.voting.rules import Votes
from ser_store.voting.top_k import Tally
from ser_store_h5.progress import Progress, silent

Backend = Literal["auto", "batched", "bitsliced", "summed"]

# Ensembles times utterances from which compiled code is worth loading: two million ensembles of 288 utterances take
# 0.8 s in numpy, which is what importing numba and loading the code take (compiling it, once, takes six).
_BITSLICED_FROM = 2_000_000 * 288
# The same for the rules that sum, of which numpy takes the more time the more classes there are.
_SUMMED_FROM = 250_000 * 288 * 8


@dataclass(frozen=True)
class EnsembleScore:
    """One ensemble's figures.

    Attributes:
        members: indices of the candidates, ascending.
        correct: utterances predicted right.
        n: utterances.
        accuracy: ``correct / n``, in 0..1.
        balanced_accuracy: mean recall over the classes that occur, in 0..1.
        ties: utterances where more than one class was at the top and the tie rule decided.
    """

    members: tuple[int, ...]
    correct: int
    n: int
    accuracy: float
    balanced_accuracy: float
    ties: int


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search among the ensembles of one size.

    Attributes:
        k: members of an ensemble; of a greedy search, the members added.
        method: ``exhaustive``, ``greedy`` or ``pruned``.
        total: ensembles that are allowed.
        searched: ensembles voted; all there are, if an exhaustive search is ``complete``.
        complete: False if the search was interrupted: then it holds the best so far.
        proved: whether no ensemble is better than the first of ``results``, and with pruning none that is left out
            better than the last.
        bound: no ensemble has more utterances right, as far as that is known.
        seconds: wall-clock time of the search.
        histogram: ``(n + 1,)`` int64, how many ensembles had 0, 1, …, n utterances right; None if not all were voted.
        results: the best, in order: by the objective ``accuracy`` more right first, then the higher balanced accuracy,
            by ``balanced_accuracy`` the other way round; then the members' indices lexicographically. Members are
            indices of the candidates.
    """

    k: int
    method: str
    total: int
    searched: int
    complete: bool
    proved: bool
    bound: int | None
    seconds: float
    histogram: NDArray[np.int64] | None = field(repr=False)
    results: tuple[EnsembleScore, ...] = field(repr=False)


def search_ensembles(
    predictions: ArrayLike,
    truth: ArrayLike,
    *,
    k: int,
    n_classes: int,
    top: int = 20,
    backend: Backend = "auto",
    threads: int | None = None,
    progress: Progress = silent,
    **problem: Any,
) -> SearchResult:
    """Vote every k-member ensemble of m candidates and return the best, and how all are distributed.

    The result is the same whatever the back end and the number of threads. Ctrl-C ends the search early with what was
    found so far. Of six runs at 14 steps 3,226,944 of the 30,872,016 ensembles of five hold a run once at most: with
    ``groups`` only these are voted.

    Args:
        predictions: ``(m, n)`` class indices in ``0..n_classes-1``, one row per candidate.
        truth: ``(n,)`` class indices.
        k: members of an ensemble, ``1..m``.
        n_classes: number of classes, ``c``, at least 2.
        backend: ``batched`` numpy; ``bitsliced`` compiled code (plain hard voting); ``summed`` compiled code (every
            rule, no constraints); or ``auto``: compiled code where it can and is worth loading. Compiled code knows the
            tie rules ``lowest`` and ``abstain``, and starts at two members. Weights of so many digits that sums leave
            62 bits (six or more in soft voting) are searched twice, and in numpy where that leaves a decision open.
        threads: of the compiled code; default: as many as there are processors.
        problem: ``rule``, ``tie``, ``probabilities``, ``weights``, ``objective``, ``groups`` and ``required``, as
            :func:`~ser_store.voting.problem.pose_problem` takes them.

    Raises:
        EnsembleError: if the arrays do not fit each other, leave their ranges, or one that is needed is missing; if
            there are no ensembles of ``k`` members, or more than can be counted; if the back end cannot vote so.
        UnknownNameError: if there is no such rule, tie rule, objective or back end.

    >>> found = search_ensembles([[0, 1], [0, 0], [1, 1]], [0, 1], k=2, n_classes=2, groups=[0, 0, 1])
    >>> [score.members for score in found.results]
    [(0, 2), (1, 2)]
    """
    posed = pose_problem(predictions, truth, k=k, n_classes=n_classes, **problem)
    return search_problem(posed, top=top, backend=backend, threads=threads, progress=progress)


def search_problem(
    problem: Problem,
    *,
    top: int = 20,
    backend: str = "auto",
    threads: int | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Vote every ensemble of a posed problem; parameters and errors as for :func:`search_ensembles`.

    >>> search_problem(pose_problem([[0, 0], [0, 1], [1, 1]], [0, 1], k=2, n_classes=2)).searched
    3
    """
    check_top(top)
    check_countable(problem)
    backend = choose_backend(problem, backend)
    tally = Tally(problem, top=top)
    started = time.perf_counter()
    complete = True
    try:
        run_search(problem, tally, backend=backend, threads=threads, progress=progress)
    except KeyboardInterrupt:
        complete = False
    return conclude(problem, tally, complete=complete, seconds=time.perf_counter() - started)


def check_top(top: int) -> None:
    """Refuse a number of ensembles to return below 1."""
    check_number("top", top, EnsembleError, least=1, whole=True)


def conclude(problem: Problem, tally: Tally, *, complete: bool, seconds: float) -> SearchResult:
    """Return what the exhaustive search of ``problem`` found."""
    results = tuple(score_ensemble(problem, members) for members in tally.members.tolist())
    return SearchResult(
        k=problem.k,
        method="exhaustive",
        total=problem.total,
        searched=int(tally.histogram.sum()),
        complete=complete,
        proved=complete,
        bound=results[0].correct if complete and problem.objective == "accuracy" else None,
        seconds=seconds,
        histogram=tally.histogram,
        results=results,
    )


def run_search(
    problem: Problem,
    tally: Tally,
    *,
    backend: str,
    threads: int | None,
    progress: Progress,
    kept: NDArray[np.signedinteger] | None = None,
) -> None:
    """Vote every ensemble, and count it in ``tally``.

    Args:
        kept: ``(problem.total,)``, takes the utterances right of each ensemble, lexicographically.
        backend: see :func:`choose_backend`, but not ``auto``.
    """
    if backend == "bitsliced":
        from ser_store.voting.compiled.bitsliced import search_bitsliced

        search_bitsliced(problem, tally, threads=threads, progress=progress, kept=kept)
    elif backend == "summed":
        from ser_store.voting.compiled.summed import search_summed

        search_summed(problem, tally, threads=threads, progress=progress, kept=kept)
    else:
        search_batched(problem, tally, progress=progress, kept=kept)


def choose_backend(problem: Problem, backend: str) -> str:
    """Return the back end that ``backend`` means for this problem; ``auto`` stands for one of the others.

    Where there is no compiled code, ``auto`` is numpy.

    Raises:
        EnsembleError: if the back end cannot vote so, or cannot be had.
        UnknownNameError: if there is no such back end.
    """
    check_choice("back end", backend, get_args(Backend))
    voting = f"{'' if problem.weights is None else 'weighted '}{problem.rule} voting of {problem.k} members"
    if backend == "bitsliced" and not problem.is_bitsliceable:
        raise EnsembleError(
            f"back end 'bitsliced' for {voting}, ties by {problem.tie!r}, {problem.m} candidates on {problem.n} "
            "utterances: expected plain hard voting of 2 to 255 members and classes, ties by 'lowest' or 'abstain', "
            "and tables that fit; take 'auto'"
        )
    if backend == "summed" and problem.constraints is not None:
        raise EnsembleError(
            "back end 'summed' with groups or required members: expected 'auto', 'batched' or 'bitsliced'"
        )
    if backend == "summed" and not problem.is_summable:
        raise EnsembleError(
            f"back end 'summed' for {voting}, ties by {problem.tie!r}, {problem.m} candidates on {problem.n} "
            "utterances: expected two members or more, ties by 'lowest' or 'abstain', and tables that fit; take 'auto'"
        )
    if backend in ("bitsliced", "summed") and (obstacle := find_obstacle()):
        raise EnsembleError(
            f"back end {backend!r} cannot be had here, where nothing is compiled ({obstacle}): expected 'auto' or "
            "'batched'"
        )
    if backend != "auto":
        return backend
    size = problem.total * problem.n
    compiled = "batched"
    if problem.is_bitsliceable and size >= _BITSLICED_FROM:
        compiled = "bitsliced"
    elif not problem.is_bitsliceable and problem.is_summable and size * problem.n_classes >= _SUMMED_FROM:
        compiled = "summed"
    return compiled if compiled == "batched" or find_obstacle() is None else "batched"


def score_ensemble(problem: Problem, members: list[int]) -> EnsembleScore:
    """Return the figures of the ensemble of these candidates."""
    return score_votes(problem, tuple(members), problem.vote(members))


def score_votes(problem: Problem, members: tuple[int, ...], votes: Votes) -> EnsembleScore:
    """Return the figures of an ensemble whose votes are given."""
    correct = int(np.count_nonzero(votes.predicted == problem.truth))
    return EnsembleScore(
        members=members,
        correct=correct,
        n=problem.n,
        accuracy=correct / problem.n,
        balanced_accuracy=compute_balanced_accuracy(problem.truth, votes.predicted, n_classes=problem.n_classes),
        ties=int(np.count_nonzero(votes.tied)),
    )
