"""Search by branch and bound: the best ensembles without voting all, by proof that the others are no better."""

import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import combinations
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import EnsembleError
from ser_store.voting.compiled import find_obstacle
from ser_store.voting.numpy_search import Members, search_locally
from ser_store.voting.problem import Problem, check_countable, check_plain
from ser_store.voting.search import (
    EnsembleScore,
    SearchResult,
    check_top,
    choose_backend,
    score_ensemble,
    search_problem,
)
from ser_store.voting.top_k import Tally, weigh_utterances
from ser_store_h5.progress import Progress, silent

if TYPE_CHECKING:
    from ser_store.voting.compiled.bit_planes import CodedVotes

_MAX_K = 255
# Where there is no compiled code all of so many ensembles are voted in numpy, in about ten seconds.
_MAX_IN_NUMPY = 10**7


def search_pruned(
    problem: Problem,
    *,
    top: int = 20,
    max_seconds: float | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Return the best ensembles, those that :func:`search_ensembles` finds, without voting all: by branch and bound.

    Ensembles are built member by member, in ascending order, and given up as soon as a bound on the utterances they
    can still get right shows that they are not among the best (see ``bounding``). What is good
    enough is known from the start, from ensembles found by exchanging members (``search_locally``). How much that saves
    depends on the candidates: much where they err on the same utterances, little where they err independently.

    The result is the same whatever the number of threads, unless the time ends. Ctrl-C ends the search early.

    Args:
        problem: of hard voting, ties by ``lowest`` or ``abstain``, without weights or constraints, by accuracy; of at
            most 255 classes and members.
        max_seconds: end the search after so much time. Default: never.

    Raises:
        EnsembleError: if the problem is none of these, or ``top`` or the time is out of range.

    >>> from ser_store.voting.problem import pose_problem
    >>> found = search_pruned(pose_problem([[0, 0], [0, 1], [1, 1]], [0, 1], k=2, n_classes=2), top=1)
    >>> found.proved, found.results[0].members
    (True, (1, 2))
    """
    _check(problem, top=top, max_seconds=max_seconds)
    started = time.perf_counter()
    if problem.k < 4 or _lacks_compiled_code(problem):
        # They are so few that there is nothing to prune.
        found = search_problem(problem, top=top, threads=threads, progress=progress)
        return replace(found, method="pruned", histogram=None, bound=found.bound if found.complete else problem.n)
    from ser_store.voting.compiled.bitsliced import encode_candidates
    from ser_store.voting.compiled.bounding import bound_branches, search_branch
    from ser_store.voting.compiled.parts import count_processors, run_in_threads

    known = search_locally(problem, top=top)
    floor = min(known.values()) if len(known) == top else 0
    tally = Tally(problem, top=top)
    candidates = encode_candidates(problem)
    size = min(2, problem.k - 3)
    firsts = combinations(range(candidates.first, candidates.end - problem.k + size), size)
    # Branches, the ensembles that begin with the same one or two members.
    prefixes = np.array(list(firsts), dtype=np.int64)
    bounds = bound_branches(candidates, prefixes)
    is_open = np.ones(len(prefixes), dtype=bool)
    over, complete, voted = Event(), True, 0

    def is_over() -> bool:
        late = max_seconds is not None and time.perf_counter() - started >= max_seconds
        return late or over.is_set()

    def search(number: int, floor: int) -> tuple[int, bool, int, tuple[NDArray[np.int64], ...]]:
        return number, *search_branch(candidates, prefixes[number], top=top, floor=floor, is_over=is_over)

    calls = (
        partial(search, number, max(floor, tally.floor + _comes_too_late(tally, candidates, prefix)))
        for number, prefix in enumerate(prefixes)
    )
    with closing(run_in_threads(calls, threads or count_processors(), stop=over.set)) as done:
        try:
            for number, finished, n_voted, best in progress(done, total=len(prefixes), label="proving"):
                voted += n_voted
                tally.offer(*best)
                is_open[number] = not finished
        except KeyboardInterrupt:
            complete = False
    if is_open.any():
        _offer_missing(problem, tally, known)
    results = tuple(score_ensemble(problem, members) for members in tally.members.tolist())
    return SearchResult(
        k=problem.k,
        method="pruned",
        total=problem.total,
        searched=voted,
        complete=complete,
        proved=not is_open.any(),
        bound=max(results[0].correct, int(bounds[is_open].max(initial=0))),
        seconds=time.perf_counter() - started,
        histogram=None,
        results=results,
    )


def _comes_too_late(tally: Tally, candidates: "CodedVotes", prefix: NDArray[np.int64]) -> bool:
    """Return whether the ensembles of this branch lose against the worst of the best where equally many are right."""
    if len(tally.correct) < tally.top:
        return False
    unbeatable = tally.balance[-1] >= candidates.best_balance[tally.correct[-1]]
    worst = tally.members[-1, : len(prefix)] + candidates.first
    return bool(unbeatable) and worst.tolist() < prefix.tolist()


def find_best(problem: Problem, *, backend: str = "auto", threads: int | None = None) -> EnsembleScore:
    """Return the best ensemble, the first that :func:`search_problem` finds, where nothing is asked of the others.

    Compiled code leaves out beginnings of four members or more that cannot lead to it: of 84 candidates who resemble
    each other as the steps of six runs do, hard voting takes a tenth of the time, sums half of it; and sums take
    constraints, which only numpy counts all ensembles of (``benchmarks/bench_correction.py``).

    Args:
        problem: of any rule, with or without constraints.
        backend, threads: as for :func:`search_problem`.

    Raises:
        EnsembleError: as :func:`search_problem`.
        KeyboardInterrupt: if it is interrupted; there is no best of some.

    >>> from ser_store.voting.problem import pose_problem
    >>> find_best(pose_problem([[0, 0], [0, 1], [1, 1]], [0, 1], k=2, n_classes=2)).members
    (1, 2)
    """
    check_countable(problem)
    way = problem.bounded_by
    if way is None or choose_backend(problem.free(), backend) != way:
        result = search_problem(problem, top=1, backend=backend, threads=threads)
        if not result.complete:
            raise KeyboardInterrupt
        return result.results[0]
    from ser_store.voting.compiled.bitsliced import search_hopeful
    from ser_store.voting.compiled.summed import search_hopeful_sums

    tally = Tally(problem, top=1)
    if problem.constraints is None:
        _offer_missing(problem, tally, search_locally(problem, top=1, starts=1))
    (search_hopeful if way == "bitsliced" else search_hopeful_sums)(problem, tally, threads=threads)
    return score_ensemble(problem, tally.members[0].tolist())


def _offer_missing(problem: Problem, tally: Tally, found: dict[Members, int]) -> None:
    """Offer what was found by exchanging members, but not yet by the search."""
    known = set(map(tuple, tally.members.tolist()))
    missing = [members for members in found if members not in known]
    if not missing:
        return
    right = np.array([problem.vote(list(members)).predicted == problem.truth for members in missing])
    weights = weigh_utterances(problem.truth, problem.n_classes)
    tally.offer(right.sum(axis=1), right @ weights, np.array(missing, dtype=np.intp))


def _lacks_compiled_code(problem: Problem) -> bool:
    """Return whether all are to be voted in numpy instead; raises EnsembleError if these are too many."""
    obstacle = find_obstacle()
    if obstacle is not None and problem.total > _MAX_IN_NUMPY:
        raise EnsembleError(
            f"a pruned search is compiled code, which cannot be had here ({obstacle}): expected at most "
            f"{_MAX_IN_NUMPY:,} ensembles without it, to vote them all, got {problem.total:,}; take the greedy search"
        )
    return obstacle is not None


def _check(problem: Problem, *, top: int, max_seconds: float | None) -> None:
    m, k = problem.m, problem.k
    if not 1 <= k <= min(m, _MAX_K):
        raise EnsembleError(f"k is {k} with {m} members: expected 1 to {min(m, _MAX_K)}")
    if problem.rule != "hard":
        raise EnsembleError(f"a pruned search by {problem.rule} voting: expected hard voting")
    if problem.tie not in ("lowest", "abstain") or problem.n_classes > _MAX_K:
        raise EnsembleError(
            f"a pruned search with ties by {problem.tie!r} among {problem.n_classes} classes: expected 'lowest' or "
            f"'abstain' and at most {_MAX_K} classes; the exhaustive and the greedy search take any"
        )
    check_plain(problem, search="pruned")
    check_top(top)
    if max_seconds is not None and not max_seconds > 0:
        raise EnsembleError(f"`max_seconds` is {max_seconds}: expected more than 0, or None")
