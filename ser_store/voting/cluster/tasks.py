"""The exhaustive search in tasks that run anywhere: what goes over the wire, and the work on either end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from ser_store.voting.numpy_search import encode, iter_blocks, tally_block
from ser_store.voting.problem import Problem
from ser_store.voting.top_k import Tally, weigh_utterances

# A part, or a block, is some milliseconds of work; a task that is lost with its worker is done again.
PARTS_PER_TASK = 16


@dataclass(frozen=True, eq=False)
class Task:
    """Some parts of the compiled search, or blocks of the one in numpy; and utterances right that are worth keeping."""

    parts: tuple[Any, ...]
    floor: int


def narrow_indices(problem: Problem) -> Problem:
    """Return the problem with indices in as few bytes as they fit, to be sent to all workers.

    As the tasks do, it holds its arrays where joblib's Dask back end does not see them. That would keep them on one
    worker only, with which they would be lost.
    """
    index = np.min_scalar_type(problem.n_classes)
    return replace(problem, predictions=problem.predictions.astype(index), truth=problem.truth.astype(index))


def count_tasks(problem: Problem, backend: str) -> int:
    """Return how many tasks the search is made of."""
    if backend == "batched":
        n_parts = sum(1 for _ in iter_blocks(problem, encode(problem)))
    else:
        from ser_store.voting.compiled.parts import count_parts

        n_parts = count_parts(_encode(problem, backend)[0])
    return -(-n_parts // PARTS_PER_TASK)


def iter_tasks(problem: Problem, backend: str, get_floor: Callable[[], int]) -> Iterator[Task]:
    """Yield tasks that cover every ensemble once, each with the floor as it is when the task is made."""
    parts = _iter_parts(problem, backend)
    while batch := tuple(islice(parts, PARTS_PER_TASK)):
        yield Task(batch, get_floor())


def answer(narrow: Problem, backend: str, top: int, task: Task) -> Tally:
    """Do a task, on whatever machine this runs."""
    problem = replace(narrow, predictions=narrow.predictions.astype(np.intp), truth=narrow.truth.astype(np.intp))
    tally = Tally(problem, top=top)
    if backend == "batched":
        _vote_blocks(problem, tally, task)
    else:
        _search_parts(problem, tally, task, backend)
    return tally


def _iter_parts(problem: Problem, backend: str) -> Iterator[Any]:
    if backend == "batched":
        index = np.min_scalar_type(problem.m)
        for block in iter_blocks(problem, encode(problem)):
            yield block._replace(prefixes=block.prefixes.astype(index))
        return
    from ser_store.voting.compiled.parts import iter_parts

    candidates, _ = _encode(problem, backend)
    index = np.min_scalar_type(candidates.end)
    for part in iter_parts(candidates):
        yield replace(part, roots=part.roots.astype(index))


def _search_parts(problem: Problem, tally: Tally, task: Task, backend: str) -> None:
    from ser_store.voting.compiled.workspace import list_best

    candidates, search_part = _encode(problem, backend)
    for part in task.parts:
        wide = replace(part, roots=part.roots.astype(np.int64))
        histogram, best = search_part(candidates, wide, top=tally.top, floor=max(task.floor, tally.floor))
        tally.offer(*list_best(best, first=candidates.first))
        tally.histogram += histogram


def _encode(problem: Problem, backend: str) -> tuple[Any, Any]:
    """Return the candidates, and what searches a part of their ensembles."""
    from ser_store.voting.compiled import bitsliced, summed

    if backend == "bitsliced":
        return bitsliced.encode_candidates(problem), bitsliced.search_bitsliced_part
    return summed.encode_summands(problem), summed.search_summed_part


def _vote_blocks(problem: Problem, tally: Tally, task: Task) -> None:
    margins = encode(problem)
    weights = weigh_utterances(problem.truth, problem.n_classes)
    for block in task.parts:
        wide = block._replace(prefixes=block.prefixes.astype(np.intp))
        tally_block(problem, margins, weights, wide, tally, floor=task.floor)
