"""Searches among the candidates: the best ensembles of each size, and the scores of all ensembles as a file."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from ser_store.ensembles.candidate_pool import CandidatePool
from ser_store.ensembles.options import Search, VoteOptions
from ser_store.errors import EnsembleError, ExistsError
from ser_store.voting.problem import Problem
from ser_store.voting.scores import compute_scores, write_scores_parquet
from ser_store.voting.search import EnsembleScore, SearchResult, search_problem
from ser_store_h5.progress import Progress, silent

# Scores beyond it are held in a file beside the one to write: half a gigabyte.
_IN_MEMORY = 2**28


def search_pool(pool: CandidatePool, *, top: int, progress: Progress = silent) -> tuple[SearchResult, ...]:
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
    found: list[SearchResult] = []
    for problem in pool.iter_problems():
        found.append(run(problem, search, top, progress))
        if not found[-1].complete:
            break
    found = [one for one in found if one.results]
    if not found:
        raise KeyboardInterrupt
    return tuple(found)


def _search_exhaustively(problem: Problem, search: Search, top: int, progress: Progress) -> SearchResult:
    if not search.runs_on_cluster:
        return search_problem(problem, top=top, backend=search.backend, threads=search.threads, progress=progress)
    from ser_store.voting.cluster.distributed import search_distributed

    backend, n_jobs, scheduler = search.backend, search.threads, search.scheduler
    return search_distributed(problem, top=top, backend=backend, n_jobs=n_jobs, scheduler=scheduler, progress=progress)


def _search_greedy(problem: Problem, search: Search, top: int, progress: Progress) -> SearchResult:
    from ser_store.voting.greedy import search_greedy

    return search_greedy(problem, top=top, progress=progress)


def _search_pruned(problem: Problem, search: Search, top: int, progress: Progress) -> SearchResult:
    from ser_store.voting.pruned import search_pruned

    return search_pruned(problem, top=top, max_seconds=search.max_seconds, threads=search.threads, progress=progress)


def is_choice(found: Sequence[SearchResult], options: VoteOptions) -> bool:
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


def order_best(found: Sequence[SearchResult], objective: str) -> list[tuple[SearchResult, EnsembleScore]]:
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
        write_scores_parquet(path, scores, k=problem.k, names=names, progress=progress)
