"""The exhaustive search in tasks that run anywhere: what goes over the wire, and the work on either end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from ser_store.voting.numpy_search import Block, encode, iter_blocks, tally_block
from ser_store.voting.problem import Problem
from ser_store.voting.search import make_tally
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
    return -(-sum(1 for _ in _iter_parts(problem, backend, with_roots=False)) // PARTS_PER_TASK)


def iter_tasks(problem: Problem, backend: str, get_floor: Callable[[], int]) -> Iterator[Task]:
    """Yield tasks that cover every ensemble once, each with the floor as it is when the task is made."""
    parts = _iter_parts(problem, backend)
    while batch := tuple(islice(parts, PARTS_PER_TASK)):
        yield Task(batch, get_floor())


def answer(narrow: Problem, backend: str, top: int, task: Task) -> Tally:
    """Do a task, on whatever machine this runs."""
    problem = replace(narrow, predictions=narrow.predictions.astype(np.intp), truth=narrow.truth.astype(np.intp))
    tally = make_tally(problem, top=top)
    if backend == "batched":
        _vote_blocks(problem, tally, task)
    else:
        _search_parts(problem, tally, task, backend)
    return tally


def _iter_parts(problem: Problem, backend: str, *, with_roots: bool = True) -> Iterator[Any]:
    if backend == "batched":
        return iter_blocks(problem, encode(problem).bytes_per_ensemble)
    return _iter_compiled_parts(problem, backend, with_roots=with_roots)


def _iter_compiled_parts(problem: Problem, backend: str, *, with_roots: bool) -> Iterator[Any]:
    from ser_store.voting.compiled.parts import iter_parts

    candidates, _ = _encode(problem, backend)
    index = np.min_scalar_type(candidates.end)
    for part in iter_parts(candidates, with_roots=with_roots):
        yield replace(part, roots=part.roots.astype(index))


def _search_parts(problem: Problem, tally: Tally, task: Task, backend: str) -> None:
    from ser_store.voting.compiled.best import list_best

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
    block: Block
    for block in task.parts:
        prefixes = block.list_prefixes(problem.k)
        tally_block(problem, margins, weights, prefixes, block.first, block.end, tally, floor=task.floor)
