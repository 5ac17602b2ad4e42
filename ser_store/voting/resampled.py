"""The best ensemble in each of many samples of the utterances, in one pass over all ensembles."""

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.numpy_search import search_locally
from ser_store.voting.problem import Problem
from ser_store.voting.subsets import Constraints, make_constraints
from ser_store_h5.progress import Progress, silent

if TYPE_CHECKING:
    from ser_store.voting.compiled.losses import Margins

# Beginnings of ensembles that a thread takes at once, and scores that it holds of them.
_ROOTS = 2**12
_SCORES = 2**20
# Ensembles that tell what is good to begin with.
_GOOD = 300


def find_bests(
    problem: Problem,
    samples: NDArray[np.intp],
    units: NDArray[np.intp],
    *,
    threads: int | None = None,
    progress: Progress = silent,
) -> NDArray[np.intp]:
    """Return the ensemble with the most right in each sample, ``(s, k)``; of equals the first, lexicographically.

    What each ensemble loses of every unit is counted once, for all samples: these are then one product of matrices.
    Left out is who begins with members after whom too much is lost in every sample, whoever is the last; how much is
    too much is known to begin with from good ensembles of all utterances.

    Args:
        problem: one that exact sums decide, see ``Problem.is_added_up``; with or without constraints.
        samples: ``(s, n_units)``, how often each holds each unit.
        units: ``(n,)``, the unit of every utterance.

    >>> from ser_store.voting.problem import pose_problem
    >>> problem = pose_problem([[0, 0], [0, 1], [1, 1]], [0, 1], k=2, n_classes=2)
    >>> find_bests(problem, np.array([[1, 1], [0, 1]]), np.arange(2)).tolist()
    [[1, 2], [1, 2]]
    """
    from threadpoolctl import threadpool_limits

    from ser_store.voting.compiled.losses import encode_margins
    from ser_store.voting.compiled.parts import count_processors, run_in_threads

    constraints = problem.constraints or make_constraints(problem.m)
    margins, lane_units = encode_margins(problem, units, n_samples=len(samples))
    # Single precision counts up to 2**24 exactly.
    weights = samples[:, lane_units].astype(np.float32)
    fewest = np.full(len(samples), np.inf, dtype=np.float32)
    # What is as good as a good ensemble may come before it.
    fewest = _find_in_part(margins, constraints, _list_good_roots(problem, constraints), weights, fewest)[0] + 0.5
    members = np.zeros((len(samples), problem.k), dtype=np.intp)
    calls = (
        partial(_find_in_part, margins, constraints, roots, weights, fewest.copy())
        for roots in constraints.iter_rows(problem.k - 1, stop=problem.m, n_rows=_ROOTS)
    )
    total = -(-constraints.count_beginnings(problem.k - 1, stop=problem.m) // _ROOTS)
    with threadpool_limits(1), closing(run_in_threads(calls, threads or count_processors(), in_order=True)) as done:
        for own_fewest, own_members in progress(done, total=total, label="correcting for the choice"):
            better = own_fewest < fewest
            fewest[better], members[better] = own_fewest[better], own_members[better]
    return members


def _list_good_roots(problem: Problem, constraints: Constraints) -> NDArray[np.intp]:
    """Return all but the last members of good ensembles, of those that are allowed."""
    good = np.array(list(search_locally(problem, top=_GOOD)))
    return np.unique(good[constraints.allow(good), :-1], axis=0)


def _find_in_part(
    margins: "Margins",
    constraints: Constraints,
    roots: NDArray[np.intp],
    weights: NDArray[np.float32],
    fewest: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return the fewest losses in each sample, if fewer than ``fewest``, and the first ensemble that has them."""
    from ser_store.voting.compiled.losses import WIDTH, bound_losses, count_losses

    m, (n_samples, n_lanes) = constraints.m, weights.shape
    most = max(m, _SCORES // n_samples)
    losses = np.empty((most, margins.blocks * WIDTH), dtype=np.int16)
    single = np.empty((most, n_lanes), dtype=np.float32)
    scores = np.empty((n_samples, most), dtype=np.float32)
    ensembles = np.empty((most, 2), dtype=np.int64)
    members = np.zeros((n_samples, roots.shape[1] + 1), dtype=np.intp)

    def weigh(n: int) -> NDArray[np.float32]:
        single[:n] = losses[:n, :n_lanes]
        return np.matmul(weights, single[:n].T, out=scores[:, :n])

    for first in range(0, len(roots), most):
        own = np.ascontiguousarray(roots[first : first + most], dtype=np.int64)
        begins = constraints.following[own[:, -1]] if own.shape[1] else np.zeros(1, dtype=np.int64)
        bound_losses(margins, own, np.minimum(begins, m - 1), losses)
        hopeful = (weigh(len(own)) < fewest[:, None]).any(axis=0) & (begins < m)
        own, begins = own[hopeful], begins[hopeful]
        held = np.bitwise_or.reduce(constraints.hits[own], axis=1)
        ends = np.append(0, (m - begins).cumsum())
        start = 0
        while start < len(own):
            stop = int(np.searchsorted(ends, ends[start] + most, side="right")) - 1
            part = slice(start, stop)
            n = count_losses(
                margins, own[part], begins[part], held[part], constraints.hits, constraints.needed, losses, ensembles
            )
            weighed = weigh(n)
            better = np.flatnonzero(weighed.min(axis=1, initial=np.inf) < fewest)
            if len(better):
                best = weighed[better].argmin(axis=1)
                fewest[better] = weighed[better, best]
                root, last = ensembles[best].T
                members[better, :-1], members[better, -1] = own[part][root], last
            start = stop
    return fewest, members
