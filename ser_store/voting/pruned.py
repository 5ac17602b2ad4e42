"""Search by branch and bound: the best ensembles without voting all, by proof that the others are no better."""

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import EnsembleError
from ser_store.voting.compiled import find_obstacle
from ser_store.voting.numpy_search import Members, search_locally
from ser_store.voting.problem import Problem, check_countable, check_plain
from ser_store.voting.search import (
    EnsembleScore,
    check_top,
    choose_backend,
    make_tally,
    score_ensemble,
    search_problem,
)
from ser_store.voting.top_k import Tally, weigh_utterances
from ser_store_h5.progress import Progress, silent

if TYPE_CHECKING:
    from ser_store.voting.compiled.bounding import Budget

_MAX_K = 255
# Where there is no compiled code all of so many ensembles are voted in numpy, in about ten seconds.
_MAX_IN_NUMPY = 10**7


@dataclass(frozen=True)
class PrunedResult:
    """What a search with pruning found.

    Attributes:
        visited: ensembles voted; all others are no better than the last of ``results``, if ``proved``.
        nodes: beginnings of ensembles for which a bound was computed.
        proved: whether ``results`` are the best there are. False if the search was interrupted or its budget ended:
            then they are the best that were found.
        bound: no ensemble has more utterances right; the best one's, if ``proved``.
        seconds: wall-clock time of the search.
        results: the best, in order: more right first, then the higher balanced accuracy, then the members' indices
            lexicographically.
    """

    visited: int
    nodes: int
    proved: bool
    bound: int
    seconds: float
    results: tuple[EnsembleScore, ...]


def search_pruned(
    problem: Problem,
    *,
    top: int = 20,
    max_seconds: float | None = None,
    max_nodes: int | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> PrunedResult:
    """Return the best ensembles, those that :func:`search_ensembles` finds, without voting all: by branch and bound.

    Ensembles are built member by member, in ascending order, and given up as soon as a bound on the utterances they
    can still get right shows that they are not among the best (see ``bounding`` and ``pruned_kernel``). What is good
    enough is known from the start, from ensembles found by exchanging members (``search_locally``). How much that saves
    depends on the candidates: much where they err on the same utterances, little where they err independently.

    The result is the same whatever the number of threads, unless the budget ends. Ctrl-C ends the search early.

    Args:
        problem: of hard voting, ties by ``lowest`` or ``abstain``, without weights or constraints, by accuracy; of at
            most 255 classes and members.
        top: how many of the best to return.
        max_seconds: end the search after so much time. Default: never.
        max_nodes: end the search after so many partial ensembles. Default: never.
        threads: default: as many as there are processors.
        progress: shows how far the search is.

    Raises:
        EnsembleError: if the problem is none of these, or ``top`` or the budget is out of range.

    >>> from ser_store.voting.problem import pose_problem
    >>> found = search_pruned(pose_problem([[0, 0], [0, 1], [1, 1]], [0, 1], k=2, n_classes=2), top=1)
    >>> found.proved, found.results[0].members
    (True, (1, 2))
    """
    _check(problem, top=top, max_seconds=max_seconds, max_nodes=max_nodes)
    started = time.perf_counter()
    if problem.k < 4 or _lacks_compiled_code(problem):
        return _search_all(problem, top=top, threads=threads, progress=progress)
    from ser_store.voting.compiled.bounding import Budget

    budget = Budget(max_seconds=max_seconds, max_nodes=max_nodes)
    found = search_locally(problem, top=top)
    tally = Tally(n=problem.n, k=problem.k, top=top)
    search = _Search(problem, tally, min(found.values()) if len(found) == top else 0, budget, threads)
    try:
        search.run(progress)
    except KeyboardInterrupt:
        pass
    finally:
        budget.end()
        search.close()
    if not search.proved:
        _offer_missing(problem, tally, found)
    results = tuple(score_ensemble(problem, members) for members in tally.members.tolist())
    return PrunedResult(
        visited=search.visited,
        nodes=budget.nodes,
        proved=search.proved,
        bound=max(results[0].correct, search.bound),
        seconds=time.perf_counter() - started,
        results=results,
    )


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

    tally = make_tally(problem, top=1)
    if problem.constraints is None:
        _offer_missing(problem, tally, search_locally(problem, top=1, starts=1))
    (search_hopeful if way == "bitsliced" else search_hopeful_sums)(problem, tally, threads=threads)
    return score_ensemble(problem, tally.members[0].tolist())


class _Search:
    """Branches, the ensembles that begin with the same one or two members, on all threads."""

    def __init__(self, problem: Problem, tally: Tally, floor: int, budget: "Budget", threads: int | None) -> None:
        from ser_store.voting.compiled.bitsliced import encode_candidates
        from ser_store.voting.compiled.bounding import bound_branches
        from ser_store.voting.compiled.parts import count_processors

        self.visited = 0
        self._tally, self._floor, self._budget = tally, floor, budget
        self._candidates = candidates = encode_candidates(problem)
        self._n_threads = threads or count_processors()
        self._pool = ThreadPoolExecutor(self._n_threads)
        size, end = min(2, problem.k - 3), candidates.end
        firsts = combinations(range(candidates.first, end - problem.k + size), size)
        self._prefixes = np.array(list(firsts), dtype=np.int64)
        self._bounds = bound_branches(candidates, self._prefixes)
        self._open = set(range(len(self._prefixes)))

    @property
    def proved(self) -> bool:
        return not self._open

    @property
    def bound(self) -> int:
        """The most utterances right in a branch that was not searched to its end."""
        return int(max((self._bounds[number] for number in self._open), default=0))

    def run(self, progress: Progress) -> None:
        for finished, number, visited, best in progress(self._iter_done(), total=len(self._prefixes), label="proving"):
            self.visited += visited
            self._tally.offer(*best)
            if finished:
                self._open.remove(number)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _comes_too_late(self, prefix: NDArray[np.int64]) -> bool:
        """Return whether this branch's ensembles lose against the worst of the best where equally many are right."""
        tally = self._tally
        if len(tally.correct) < tally.top:
            return False
        unbeatable = tally.balance[-1] >= self._candidates.best_balance[tally.correct[-1]]
        worst = tally.members[-1, : len(prefix)] + self._candidates.first
        return bool(unbeatable) and worst.tolist() < prefix.tolist()

    def _iter_done(self) -> Iterator[tuple[bool, int, int, tuple[NDArray[np.int64], ...]]]:
        from ser_store.voting.compiled.bounding import search_branch

        running: dict[Future[tuple[bool, int, tuple[NDArray[np.int64], ...]]], int] = {}
        for number, prefix in enumerate(self._prefixes):
            floor = max(self._floor, self._tally.floor + self._comes_too_late(prefix))
            submitted = self._pool.submit(
                search_branch, self._candidates, prefix, top=self._tally.top, floor=floor, budget=self._budget
            )
            running[submitted] = number
            if len(running) >= 2 * self._n_threads:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    finished, visited, best = future.result()
                    yield finished, running.pop(future), visited, best
        for future, number in running.items():
            finished, visited, best = future.result()
            yield finished, number, visited, best


def _search_all(problem: Problem, *, top: int, threads: int | None, progress: Progress) -> PrunedResult:
    """Vote all: they are so few that there is nothing to prune."""
    result = search_problem(problem, top=top, threads=threads, progress=progress)
    if not result.results:
        raise KeyboardInterrupt
    return PrunedResult(
        visited=result.searched,
        nodes=0,
        proved=result.complete,
        bound=result.results[0].correct if result.complete else problem.n,
        seconds=result.seconds,
        results=result.results,
    )


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


def _check(problem: Problem, *, top: int, max_seconds: float | None, max_nodes: int | None) -> None:
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
    if (max_seconds is not None and not max_seconds > 0) or (max_nodes is not None and max_nodes < 1):
        raise EnsembleError(
            f"the budget is {max_seconds} seconds and {max_nodes} nodes: expected more than 0 of each, or None"
        )
