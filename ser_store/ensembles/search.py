"""Searches among the candidates: the best ensembles of each size, and the scores of all ensembles as a file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.candidate_pool import CandidatePool
from ser_store.ensembles.options import Search, VoteOptions
from ser_store.errors import EnsembleError, ExistsError
from ser_store.voting.problem import Problem
from ser_store.voting.scores import compute_scores, write_scores_parquet
from ser_store.voting.search import EnsembleScore, search_problem
from ser_store_h5.progress import Progress, silent

# Scores beyond it are held in a file beside the one to write: half a gigabyte.
_IN_MEMORY = 2**28


@dataclass(frozen=True)
class Found:
    """The outcome of a search among the ensembles of one size.

    Attributes:
        k: members of an ensemble; of a greedy search, the members added.
        method: ``exhaustive``, ``greedy`` or ``pruned``.
        total: ensembles that are allowed.
        searched: ensembles voted.
        complete: False if the search was interrupted; then it holds the best so far.
        proved: whether no ensemble is better than the first of ``results``.
        bound: no ensemble has more utterances right, as far as that is known.
        seconds: wall-clock time of the search.
        histogram: ``(n + 1,)``, how many ensembles had 0, 1, …, n utterances right; None if not all were voted.
        results: the best, best first; members by their place among the candidates searched.
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


def search_pool(pool: CandidatePool, *, top: int, progress: Progress = silent) -> tuple[Found, ...]:
    """Return the best ensembles of each size, in the order of the sizes; fewer where the search is interrupted.

    Args:
        pool: the candidates.
        top: how many of the best to return.
        progress: shows how far the search is.

    Raises:
        KeyboardInterrupt: if nothing was found before the interrupt.
    """
    search = pool.options.search
    run = {"greedy": _search_greedy, "pruned": _search_pruned}.get(search.method, _search_exhaustively)
    found: list[Found] = []
    for problem in pool.iter_problems():
        found.append(run(problem, search, top, progress))
        if not found[-1].complete:
            break
    found = [one for one in found if one.results]
    if not found:
        raise KeyboardInterrupt
    return tuple(found)


def _search_exhaustively(problem: Problem, search: Search, top: int, progress: Progress) -> Found:
    if search.runs_on_cluster:
        from ser_store.voting.cluster.distributed import search_distributed

        result = search_distributed(
            problem,
            top=top,
            backend=search.backend,
            n_jobs=search.threads,
            scheduler=search.scheduler,
            progress=progress,
        )
    else:
        result = search_problem(problem, top=top, backend=search.backend, threads=search.threads, progress=progress)
    return Found(
        k=problem.k,
        method="exhaustive",
        total=problem.total,
        searched=result.searched,
        complete=result.complete,
        proved=result.complete,
        bound=result.results[0].correct if result.complete and problem.objective == "accuracy" else None,
        seconds=result.seconds,
        histogram=result.histogram,
        results=result.results,
    )


def _search_greedy(problem: Problem, search: Search, top: int, progress: Progress) -> Found:
    from ser_store.voting.greedy import search_greedy

    result = search_greedy(problem, progress=progress)
    path = sorted(result.path, key=lambda score: (-score.correct, -score.balanced_accuracy, len(score.members)))
    return Found(
        k=problem.k,
        method=search.method,
        total=problem.total,
        searched=result.voted,
        complete=result.complete,
        proved=False,
        bound=None,
        seconds=result.seconds,
        histogram=None,
        results=tuple(path[:top]),
    )


def _search_pruned(problem: Problem, search: Search, top: int, progress: Progress) -> Found:
    from ser_store.voting.pruned import search_pruned

    result = search_pruned(problem, top=top, max_seconds=search.max_seconds, threads=search.threads, progress=progress)
    # Without a proof it either was interrupted, or came to the end of its time.
    in_time = search.max_seconds is None or result.seconds < search.max_seconds
    return Found(
        k=problem.k,
        method=search.method,
        total=problem.total,
        searched=result.visited,
        complete=result.proved or not in_time,
        proved=result.proved,
        bound=result.bound,
        seconds=result.seconds,
        histogram=None,
        results=result.results,
    )


def is_choice(found: Sequence[Found], options: VoteOptions) -> bool:
    """Return whether anything is chosen by what is right: an ensemble, its weights, or the member that decides ties."""
    return sum(one.total for one in found) > 1 or options.takes_from_truth


def choose_best(pool: CandidatePool, *, backend: str) -> EnsembleScore:
    """Return the best ensemble of all sizes, the first of :func:`order_best`, where nothing is asked of the others.

    Raises:
        KeyboardInterrupt: if the search is interrupted.
    """
    search, objective = pool.options.search, pool.options.objective
    if search.votes_all:
        from ser_store.voting.pruned import find_best

        best = [find_best(problem, backend=backend, threads=search.threads) for problem in pool.iter_problems()]
        return min(best, key=lambda score: _merit(score, objective))
    found = search_pool(pool, top=1)
    if not found[-1].complete:
        raise KeyboardInterrupt
    return order_best(found, objective)[0][1]


def order_best(found: Sequence[Found], objective: str) -> list[tuple[Found, EnsembleScore]]:
    """Return the ensembles of all sizes, best first: by the objective, the other figure, then fewer members first."""
    # Each size is in order already, and sizes ascend: sorting keeps the order of equals.
    entries = ((one, score) for one in found for score in one.results)
    return sorted(entries, key=lambda entry: _merit(entry[1], objective))


def _merit(score: EnsembleScore, objective: str) -> tuple[float, float]:
    """What is least of the best; of equals the first is better, of sizes that ascend."""
    # Equal means of recalls may differ in the last bit.
    figures = (-score.accuracy, -round(score.balanced_accuracy, 12))
    return figures if objective == "accuracy" else (figures[1], figures[0])


def check_scores(path: str | PathLike[str] | None, options: VoteOptions) -> None:
    """Refuse what cannot be written, before anything is searched.

    Raises:
        EnsembleError: if not all ensembles are voted, or they are of several sizes; if there is no such folder.
        ExistsError: if the file is there.
    """
    if path is None:
        return
    file = Path(path)
    search = options.search
    if not search.votes_all:
        raise EnsembleError(
            f"`scores` with `search` {search.method}, which does not vote all: expected an exhaustive search"
        )
    if options.limits.constrain:
        raise EnsembleError(
            "`scores` with `one_step_per_run` or `include`: expected a search of all ensembles; leave rows out of the "
            "file instead"
        )
    if search.runs_on_cluster:
        raise EnsembleError(
            f"`scores` with `backend` {search.backend}: expected a search on this machine; drop `backend`"
        )
    if options.ks is not None and len(options.ks) > 1:
        raise EnsembleError(f"`scores` with {len(options.ks)} sizes of ensembles: expected one `k`")
    if file.suffix != ".parquet":
        raise EnsembleError(f"`scores` {file}: expected a name that ends in .parquet")
    if file.exists():
        raise ExistsError(f"{file} is there already: choose another name, or remove it first")
    if not file.absolute().parent.is_dir():
        raise EnsembleError(f"{file}: there is no folder {file.parent}: expected one to write the scores to")


def write_scores(path: str | PathLike[str], pool: CandidatePool, *, progress: Progress) -> None:
    """Write a row for each ensemble, in lexicographic order: its members' names and the utterances it gets right."""
    from tempfile import TemporaryDirectory  # takes 10 ms, which only those who write scores pay

    search, (problem,) = pool.options.search, pool.iter_problems()
    with TemporaryDirectory(dir=Path(path).absolute().parent, prefix=f".{Path(path).name}.") as folder:
        scores = compute_scores(
            problem,
            backend=search.backend,
            threads=search.threads,
            path=Path(folder) / "scores.npy" if problem.total > _IN_MEMORY else None,
            progress=progress,
        )
        names = pool.candidates.names
        write_scores_parquet(path, scores, k=problem.k, n_candidates=len(names), names=names, progress=progress)
