"""The exhaustive search over all k-member ensembles of m candidates: exact, complete, flat in memory."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import EnsembleError, UnknownNameError, describe_unknown
from ser_store.metrics import compute_balanced_accuracy
from ser_store.progress import Progress, silent
from ser_store.voting.batched import search_batched
from ser_store.voting.contenders import Tally
from ser_store.voting.problem import Problem, pose_problem

BACKENDS = ("auto", "batched", "bitsliced")

# Ensembles times utterances from which compiled code is worth loading: two million ensembles of 288 utterances take
# 0.8 s in numpy, which is what importing numba and loading the code take (compiling it, once, takes six).
_BITSLICED_FROM = 2_000_000 * 288


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
    """What a search found.

    Attributes:
        k: members of an ensemble.
        rule: the voting rule.
        tie: the tie rule.
        searched: ensembles voted; all there are, if ``complete``.
        complete: False if the search was interrupted: then it holds the best so far.
        seconds: wall-clock time of the search.
        histogram: ``(n + 1,)`` int64, how many ensembles had 0, 1, …, n utterances right.
        results: the best, in order: more right first, then the higher balanced accuracy, then the members' indices
            lexicographically.
    """

    k: int
    rule: str
    tie: str
    searched: int
    complete: bool
    seconds: float
    histogram: NDArray[np.int64]
    results: tuple[EnsembleScore, ...]


def search_ensembles(
    predictions: ArrayLike,
    truth: ArrayLike,
    *,
    k: int,
    n_classes: int,
    rule: str = "hard",
    tie: str = "lowest",
    probabilities: ArrayLike | None = None,
    top: int = 20,
    backend: str = "auto",
    threads: int | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Vote every k-member ensemble of m candidates and return the best, and how all are distributed.

    The result is the same whatever the back end and the number of threads. Ctrl-C ends the search early with what was
    found so far.

    Args:
        predictions: ``(m, n)`` class indices in ``0..n_classes-1``, one row per candidate.
        truth: ``(n,)`` class indices.
        k: members of an ensemble, ``1..m``.
        n_classes: number of classes, ``c``, at least 2.
        rule: ``hard`` (see :func:`~ser_store.voting.rules.hard_vote`) or ``soft``
            (:func:`~ser_store.voting.rules.soft_vote`, which takes nothing from ``predictions``).
        tie: the tie rule of hard voting; ``best`` goes by the candidates' accuracy on these utterances.
        probabilities: ``(m, n, c)`` in 0..1, for soft voting and the tie rule ``confidence``.
        top: how many of the best to return.
        backend: ``batched`` numpy, ``bitsliced`` compiled code (hard voting with the tie rules ``lowest`` and
            ``abstain``, from two members on), or ``auto``: compiled code where it can and is worth loading.
        threads: of the compiled code; default: as many as there are processors.
        progress: shows how far the search is.

    Raises:
        EnsembleError: if the arrays do not fit each other, leave their ranges, or one that is needed is missing; if
            there are no ensembles of ``k`` members, or more than can be counted; if the back end cannot vote so.
        UnknownNameError: if there is no such rule, tie rule or back end.
    """
    if top < 1:
        raise EnsembleError(f"top is {top}: expected at least 1 ensemble to return")
    problem = pose_problem(
        predictions, truth, k=k, n_classes=n_classes, rule=rule, tie=tie, probabilities=probabilities
    )
    bitsliced = _choose_bitsliced(problem, backend)
    tally = Tally(n=problem.n, k=k, top=top)
    started = time.perf_counter()
    complete = True
    try:
        if bitsliced:
            from ser_store.voting.bitsliced import search_bitsliced

            search_bitsliced(problem, tally, threads=threads, progress=progress)
        else:
            search_batched(problem, tally, progress=progress)
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
        results=tuple(_score(problem, members) for members in tally.members.tolist()),
    )


def _choose_bitsliced(problem: Problem, backend: str) -> bool:
    if backend not in BACKENDS:
        raise UnknownNameError(describe_unknown("back end", backend, BACKENDS))
    if backend == "bitsliced" and not problem.is_bitsliceable:
        raise EnsembleError(
            f"back end 'bitsliced' for {problem.rule} voting of {problem.k} members, ties by {problem.tie!r}: expected "
            "hard voting of 2 to 255 members and classes, ties by 'lowest' or 'abstain'; take 'auto'"
        )
    worth_loading = problem.total * problem.n >= _BITSLICED_FROM
    return backend == "bitsliced" or (backend == "auto" and worth_loading and problem.is_bitsliceable)


def _score(problem: Problem, members: list[int]) -> EnsembleScore:
    votes = problem.vote(members)
    correct = int(np.count_nonzero(votes.predicted == problem.truth))
    return EnsembleScore(
        members=tuple(members),
        correct=correct,
        n=problem.n,
        accuracy=correct / problem.n,
        balanced_accuracy=compute_balanced_accuracy(problem.truth, votes.predicted, n_classes=problem.n_classes),
        ties=int(np.count_nonzero(votes.tied)),
    )
