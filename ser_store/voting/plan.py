"""How long an exhaustive search will take, before it is begun."""

import time
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ser_store.errors import EnsembleError
from ser_store.voting.problem import Problem, count_ensembles, pose_problem

# What a rate is measured by where no candidates are given.
_N_CLASSES = 8
_ACCURACY = 0.9
# Beginnings of ensembles that are searched between two looks at the clock.
_N_ROOTS = 16


def estimate_seconds(m: int, k: int, n: int, *, rate: float | None = None) -> float:
    """How long voting every k-member ensemble of ``m`` candidates on ``n`` utterances will take.

    Args:
        m: candidates.
        k: members of an ensemble.
        n: utterances.
        rate: ensembles per second, of :func:`measure_rate`. Default: measured here, for a quarter of a second, on
            random candidates of eight classes that are right in 90% of the utterances, by hard voting.

    Raises:
        EnsembleError: if there are no such ensembles or utterances, or the rate is not positive.

    >>> estimate_seconds(84, 5, 288, rate=1e6)
    30.872016
    """
    if not 1 <= k <= m or n < 1:
        raise EnsembleError(f"{k} of {m} members on {n} utterances: expected 1 to {m} members and 1 or more utterances")
    if rate is None:
        rng = np.random.default_rng(0)
        truth = rng.integers(_N_CLASSES, size=n)
        right = rng.random((m, n)) < _ACCURACY
        predictions = np.where(right, truth, rng.integers(_N_CLASSES, size=(m, n)))
        rate = measure_rate(predictions, truth, k=k, n_classes=_N_CLASSES)
    if not rate > 0:
        raise EnsembleError(f"the rate is {rate}: expected ensembles per second, more than 0")
    return count_ensembles(m, k) / rate


def measure_rate(
    predictions: ArrayLike,
    truth: ArrayLike,
    *,
    k: int,
    n_classes: int,
    seconds: float = 0.25,
    threads: int | None = None,
) -> float:
    """Ensembles per second of the compiled search by hard voting, from random stretches of the search itself.

    It is measured on one thread and taken times ``threads``, as if none slowed another down. The search itself shares
    work between neighbouring stretches, and is up to twice as fast.

    Args:
        predictions: ``(m, n)`` class indices in ``0..n_classes-1``, one row per candidate.
        truth: ``(n,)`` class indices.
        k: members of an ensemble.
        n_classes: number of classes, 2 to 255.
        seconds: how long to measure, after the code is loaded.
        threads: default: as many as there are processors.

    Raises:
        EnsembleError: if the arrays do not fit each other or leave their ranges, or the compiled search cannot vote
            so many members or classes.
    """
    from ser_store.voting.bitsliced import encode_candidates, search_bitsliced_part
    from ser_store.voting.parts import Part, count_processors

    problem = _pose(predictions, truth, k, n_classes)
    candidates = encode_candidates(problem)
    rng = np.random.default_rng(0)

    def search_some(n_roots: int) -> int:
        starts = (rng.choice(problem.m - 3, problem.k - 3, replace=False) for _ in range(n_roots))
        roots = np.array(sorted(sorted(start.tolist()) for start in starts), dtype=np.int64) + candidates.first
        part = Part(roots, candidates.first, candidates.end)
        search_bitsliced_part(candidates, part, top=1, floor=problem.n)
        return part.count_ensembles(candidates)

    search_some(1)
    voted = 0
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds or not voted:
        voted += search_some(_N_ROOTS)
    return voted / elapsed * (threads or count_processors())


def describe_search(m: int, k: int, seconds: float) -> str:
    """One line on a search that takes so long, and what can be done instead.

    >>> describe_search(84, 9, 4000)
    'C(84,9) = 368,136,785,016 ensembles would take about 1.1 hours; try --pruned or --greedy'
    """
    total = count_ensembles(m, k)
    number = f"{total:,}" if total < 10**15 else f"{float(total):.1e}"
    return f"C({m},{k}) = {number} ensembles would take about {_format(seconds)}; try --pruned or --greedy"


def _format(seconds: float) -> str:
    units = (("years", 31_557_600), ("days", 86_400), ("hours", 3600), ("minutes", 60))
    name, size = next(((name, size) for name, size in units if seconds >= size), ("seconds", 1))
    amount = seconds / size
    return f"{amount:,.1f} {name}" if amount < 10**6 else f"{amount:.0e} {name}"


def _pose(predictions: ArrayLike, truth: ArrayLike, k: int, n_classes: int) -> Problem:
    """The problem, of four members at least: fewer are soon voted anyway."""
    # The number of ensembles may be more than a search can count.
    posed = pose_problem(predictions, truth, k=1, n_classes=n_classes, rule="hard", tie="lowest", probabilities=None)
    problem = replace(posed, k=max(4, k))
    if not problem.is_bitsliceable or problem.k > max(4, problem.m):
        raise EnsembleError(
            f"no rate for {k} of {problem.m} members and {n_classes} classes: expected 1 to {min(problem.m, 255)} "
            "members and 2 to 255 classes"
        )
    if problem.m < 4:
        return replace(
            problem, predictions=np.tile(problem.predictions, (4, 1)), accuracies=np.tile(problem.accuracies, 4)
        )
    return problem
