"""The best ensembles of candidates, of each size that is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.common.progress import Progress, silent
from ser_store.ensembles.candidate_pool import Electorate
from ser_store.ensembles.options import Terms
from ser_store.voting.search import EnsembleScore, SearchResult, search_ensembles


@dataclass(frozen=True)
class Found:
    """What a search among the ensembles of one size found.

    Attributes:
        k: members of an ensemble; of a greedy search, the members added.
        method: ``exhaustive``, ``greedy`` or ``pruned``.
        total: ensembles there are.
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
    histogram: NDArray[np.int64] | None
    results: tuple[EnsembleScore, ...]


def search_sizes(
    electorate: Electorate, terms: Terms, *, top: int, backend: str | None = None, progress: Progress = silent
) -> tuple[Found, ...]:
    """The best ensembles of each size, in the order of the sizes; fewer where the search is interrupted.

    Args:
        backend: another one than that of ``terms``.
    """
    found: list[Found] = []
    for k in terms.ks:
        searches: dict[str, Callable[..., Found]] = {"greedy": _search_greedy, "pruned": _search_pruned}
        search = searches.get(terms.search, _search_exhaustively)
        found.append(search(electorate, terms, k, top=top, backend=backend or terms.backend, progress=progress))
        if not found[-1].complete:
            break
    return tuple(found)


def _search_exhaustively(
    electorate: Electorate, terms: Terms, k: int, *, top: int, backend: str, progress: Progress
) -> Found:
    candidates = electorate.candidates
    options = electorate.list_options(candidates, terms) | {"k": k, "top": top, "progress": progress}
    voters = (candidates.predictions, candidates.truth)
    result: SearchResult
    if terms.runs_on_cluster and backend == terms.backend:
        from ser_store.voting.cluster.distributed import search_distributed

        result = search_distributed(
            *voters, backend=backend, n_jobs=terms.threads, scheduler=terms.scheduler, **options
        )
    elif terms.is_limited:
        from ser_store.voting.grouped import search_grouped

        conditions = electorate.conditions
        groups = candidates.runs if terms.one_step_per_run else None
        required = [sorted(members) for members in conditions.required]
        result = search_grouped(
            *voters, groups=groups, required=required, backend=backend, threads=terms.threads, **options
        )
    else:
        result = search_ensembles(*voters, backend=backend, threads=terms.threads, **options)
    return Found(
        k=k,
        method="exhaustive",
        total=electorate.count(k),
        searched=result.searched,
        complete=result.complete,
        proved=result.complete,
        bound=result.results[0].correct if result.complete and terms.objective == "accuracy" else None,
        seconds=result.seconds,
        histogram=result.histogram,
        results=result.results,
    )


def _search_greedy(
    electorate: Electorate, terms: Terms, k: int, *, top: int, backend: str, progress: Progress
) -> Found:
    from ser_store.voting.greedy import search_greedy

    candidates = electorate.candidates
    result = search_greedy(
        candidates.predictions,
        candidates.truth,
        k=k,
        n_classes=candidates.n_classes,
        rule=terms.rule,
        tie=terms.tie,
        probabilities=candidates.shares,
        progress=progress,
    )
    path = sorted(result.path, key=lambda score: (-score.correct, -score.balanced_accuracy, len(score.members)))
    return Found(
        k=k,
        method="greedy",
        total=electorate.count(k),
        searched=result.voted,
        complete=result.complete,
        proved=False,
        bound=None,
        seconds=result.seconds,
        histogram=None,
        results=tuple(path[:top]),
    )


def _search_pruned(
    electorate: Electorate, terms: Terms, k: int, *, top: int, backend: str, progress: Progress
) -> Found:
    from ser_store.voting.pruned import search_pruned

    candidates = electorate.candidates
    result = search_pruned(
        candidates.predictions,
        candidates.truth,
        k=k,
        n_classes=candidates.n_classes,
        tie=terms.tie,
        top=top,
        max_seconds=terms.max_seconds,
        threads=terms.threads,
        progress=progress,
    )
    # Without a proof it either was interrupted, or came to the end of its time.
    in_time = terms.max_seconds is None or result.seconds < terms.max_seconds
    return Found(
        k=k,
        method="pruned",
        total=result.total,
        searched=result.visited,
        complete=result.proved or not in_time,
        proved=result.proved,
        bound=result.bound,
        seconds=result.seconds,
        histogram=None,
        results=result.results,
    )


def order_best(found: Sequence[Found], terms: Terms) -> list[tuple[Found, EnsembleScore]]:
    """The ensembles of all sizes, best first: by the objective, then by the other figure, then fewer members first."""

    def merit(entry: tuple[Found, EnsembleScore]) -> tuple[float, float]:
        score = entry[1]
        # Equal means of recalls may differ in the last bit.
        figures = (-score.accuracy, -round(score.balanced_accuracy, 12))
        return figures if terms.objective == "accuracy" else (figures[1], figures[0])

    # Each size is in order already, and sizes ascend: sorting keeps the order of equals.
    return sorted(((one, score) for one in found for score in one.results), key=merit)
