"""How long a search takes, and whether it ends while somebody waits."""

from math import comb

import numpy as np

from ser_store.ensembles.candidate_pool import CandidatePool
from ser_store.ensembles.options import Search
from ser_store.errors import EnsembleError
from ser_store.voting.compiled import find_obstacle
from ser_store.voting.problem import Problem
from ser_store.voting.search import search_problem

# Members of an ensemble of an exhaustive search.
MAX_K = 15
# A search that takes longer is not begun unless it is explicitly asked for.
MAX_SECONDS = 600.0
# Searches that are guessed to be done by then are not measured first, which takes about a second.
_MEASURED_FROM = 30.0
# Nanoseconds that an ensemble takes per utterance on two processors, on the high side of what was measured with five
# members of 84; of what sums probabilities or weights, for each rival of the truth.
_BITSLICED = 0.012
# The same of a search for the best alone, by bounds; on candidates of 57% (``benchmarks/bench_correction.py``).
_BOUNDED = 0.005
_SUMMED = 0.03
# What an ensemble takes in one pass that chooses in all samples: for each rival of each utterance, and unit and sample.
_ADDED, _WEIGHED = 0.015, 0.012
_BATCHED, _BATCHED_TIES, _BATCHED_SUMS = 2.5, 12.0, 4.5
# Ensembles of which a rate is measured, in numpy and in compiled code.
_SAMPLES = {"batched": 20_000, "bitsliced": 2_000_000, "summed": 500_000}

_UNITS = (("years", 31_557_600.0), ("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0))


def check_cost(pool: CandidatePool) -> None:
    """Refuse ensembles that are too large, and a long exhaustive search that was not explicitly asked for.

    Raises:
        EnsembleError: naming how many ensembles there are, how long they would take, and what can be done instead.
    """
    options, search = pool.options, pool.options.search
    if not search.votes_all:
        return
    for k in pool.ks:
        if k > MAX_K and pool.count(k) > 1:
            raise EnsembleError(
                f"`k` is {k}: expected at most {MAX_K} for an exhaustive search; `search` greedy and `search` pruned "
                "take more"
            )
    if search.method == "exhaustive" or search.runs_on_cluster:
        return
    seconds = {problem.k: estimate_seconds(problem, search) for problem in pool.iter_problems()}
    longest = max(seconds, key=lambda k: seconds[k])
    if sum(seconds.values()) > MAX_SECONDS:
        total = pool.count(longest)
        pruned = ""
        if options.voting_rule == "hard" and options.tie in ("lowest", "abstain") and options.weights is None:
            pruned = "`search` pruned `max_seconds` 60 for an exact one as far as it gets, "
        number = f"{total:,}" if total < 10**15 else f"{float(total):.1e}"
        raise EnsembleError(
            f"{number} ensembles of {longest} of {len(pool.places)} candidates would take about "
            f"{format_duration(seconds[longest])}: expected at most {format_duration(MAX_SECONDS)}; take `search` "
            f"greedy for good ones at once, {pruned}`min_accuracy` for fewer candidates, or `search` exhaustive to wait"
        )


def estimate_seconds(problem: Problem, search: Search) -> float:
    """Return how long all ensembles take to vote: guessed, or measured where it may be long."""
    backend = name_backend(problem, search)
    guessed = guess_seconds(problem, backend=backend)
    return guessed if guessed < _MEASURED_FROM else problem.total / measure_rate(problem, search, backend)


def guess_seconds(problem: Problem, *, backend: str) -> float:
    """Return about how long all ensembles take, by what is known of rules and back ends: the same on all machines."""
    rivals = problem.n_classes - 1
    if backend in ("bitsliced", "bounded"):
        each = _BITSLICED if backend == "bitsliced" else _BOUNDED
    elif backend == "summed":
        each = _SUMMED * rivals
    elif problem.rule != "hard":
        each = _BATCHED_SUMS * rivals
    else:
        each = _BATCHED_TIES if problem.tie in ("best", "confidence") else _BATCHED
    return problem.total * problem.n * each * 1e-9


def guess_pass_seconds(problem: Problem, *, n_units: int, n_samples: int) -> float:
    """Return about how long one pass takes that finds the best ensemble in each of several samples of the units."""
    each = problem.n * (problem.n_classes - 1) * _ADDED + n_units * n_samples * _WEIGHED
    return problem.total * each * 1e-9


def measure_rate(problem: Problem, search: Search, backend: str) -> float:
    """Return ensembles per second, of a search among as many of the candidates as make enough ensembles."""
    m, k, wanted = problem.m, problem.k, _SAMPLES[backend]
    n_some = next((size for size in range(k, m) if comb(size, k) >= wanted), m)
    if comb(n_some, k) > 100 * wanted:
        n_some = max(k, n_some - 1)
    some = problem.keep(np.sort(np.random.default_rng(0).permutation(m)[:n_some]))
    few = some.keep(np.arange(min(n_some, k + 1)))
    search_problem(few, backend=backend, threads=search.threads)  # loads the compiled code
    return some.total / search_problem(some, backend=backend, threads=search.threads).seconds


def name_backend(problem: Problem, search: Search) -> str:
    """Return the back end that a long search takes; numpy for one that would be long there, and cannot be compiled."""
    if search.backend in _SAMPLES:
        return search.backend
    if not (problem.is_bitsliceable or problem.is_summable):
        return "batched"
    if guess_seconds(problem, backend="batched") >= _MEASURED_FROM and find_obstacle() is not None:
        return "batched"
    return "bitsliced" if problem.is_bitsliceable else "summed"


def name_repeated(problem: Problem, search: Search) -> str:
    """Return the back end of a search for the best alone: as of all, or ``bounded``; sums take constraints then."""
    name = name_backend(problem.free() if problem.bounded_by == "summed" else problem, search)
    return "bounded" if name == problem.bounded_by == "bitsliced" else name


def format_duration(seconds: float) -> str:
    """Return a duration in the largest unit of which there is one at least.

    >>> format_duration(600), format_duration(5e15)
    ('10 minutes', '2e+08 years')
    """
    name, size = next(((name, size) for name, size in _UNITS if seconds >= size), ("seconds", 1.0))
    amount = seconds / size
    return f"{amount:.0e} {name}" if amount >= 10**6 else f"{amount:,.3g} {name}"
