"""Whether a search comes to its end while somebody waits."""

import time
from dataclasses import replace
from math import comb

import numpy as np

from ser_store.ensembles.candidate_pool import Electorate
from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.options import MAX_K, Terms
from ser_store.errors import EnsembleError
from ser_store.voting.problem import Problem
from ser_store.voting.search import search_ensembles

# A search that takes longer is not begun unless it is asked for in so many words.
MAX_SECONDS = 600.0
# Searches that are guessed to be done by then are not measured first, which takes about a second.
_MEASURED_FROM = 30.0
# Nanoseconds that an ensemble takes per utterance on two processors, on the high side of what was measured with five
# members of 84; of what sums probabilities or weights, for each rival of the truth.
_BITSLICED = 0.012
_SUMMED = 0.03
_BATCHED, _BATCHED_TIES, _BATCHED_SUMS = 2.5, 12.0, 4.5
# Ensembles of which a rate is measured, in numpy and in compiled code.
_SAMPLES = {"batched": 20_000, "bitsliced": 2_000_000, "summed": 500_000}

_UNITS = (("years", 31_557_600.0), ("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0))


def check_reach(electorate: Electorate, terms: Terms) -> None:
    """Refuse an exhaustive search that nobody asked for in so many words and that takes long, and too large ensembles.

    Raises:
        EnsembleError: naming how many ensembles there are, how long they would take, and what can be done instead.
    """
    if terms.search in ("greedy", "pruned"):
        return
    for k in terms.ks:
        total = electorate.count(k)
        if k > MAX_K and total > 1:
            raise EnsembleError(
                f"k is {k}: expected at most {MAX_K} for an exhaustive search; --search greedy and --search pruned "
                "take more"
            )
    if terms.search == "exhaustive" or terms.runs_on_cluster:
        return
    seconds = {k: estimate_seconds(electorate, terms, k) for k in terms.ks}
    longest = max(seconds, key=lambda k: seconds[k])
    if sum(seconds.values()) > MAX_SECONDS:
        total = electorate.count(longest)
        pruned = ""
        if terms.rule == "hard" and terms.tie in ("lowest", "abstain") and terms.weights is None:
            pruned = "--search pruned --max-seconds 60 for an exact one as far as it gets, "
        number = f"{total:,}" if total < 10**15 else f"{float(total):.1e}"
        raise EnsembleError(
            f"{number} ensembles of {longest} of {len(electorate.places)} candidates would take about "
            f"{format_duration(seconds[longest])}: expected at most {format_duration(MAX_SECONDS)}; take --search "
            f"greedy for good ones at once, {pruned}--min-accuracy for fewer candidates, or --search exhaustive to wait"
        )


def estimate_seconds(electorate: Electorate, terms: Terms, k: int) -> float:
    """How long it will take to vote all ensembles of ``k`` members: guessed, or measured where it may be long."""
    total = electorate.count(k)
    problem = _pose(electorate, terms, k)
    guessed = guess_seconds(problem, total, backend=name_backend(problem, terms))
    return guessed if guessed < _MEASURED_FROM else total / measure_rate(electorate, terms, k)


def guess_seconds(problem: Problem, total: int, *, backend: str) -> float:
    """How long ``total`` ensembles take about, by what is known of rules and back ends: the same on all machines."""
    rivals = problem.n_classes - 1
    if backend == "bitsliced":
        each = _BITSLICED
    elif backend == "summed":
        each = _SUMMED * rivals
    elif problem.rule != "hard":
        each = _BATCHED_SUMS * rivals
    else:
        each = _BATCHED_TIES if problem.tie in ("best", "confidence") else _BATCHED
    return total * problem.n * each * 1e-9


def measure_rate(electorate: Electorate, terms: Terms, k: int) -> float:
    """Ensembles per second, of a search among as many of the candidates as make enough ensembles."""
    candidates = electorate.candidates
    backend = name_backend(_pose(electorate, terms, k), terms)
    m, wanted = len(candidates.names), _SAMPLES[backend]
    n_some = next((size for size in range(k, m) if comb(size, k) >= wanted), m)
    if comb(n_some, k) > 100 * wanted:
        n_some = max(k, n_some - 1)
    some = candidates.keep(np.sort(np.random.default_rng(0).permutation(m)[:n_some]))
    _time_search(some.keep(np.arange(min(n_some, k + 1))), terms, k, backend)  # loads the compiled code
    return comb(n_some, k) / _time_search(some, terms, k, backend)


def _time_search(candidates: Candidates, terms: Terms, k: int, backend: str) -> float:
    weights = None if terms.weights is None else terms.weights.weigh(candidates)
    started = time.perf_counter()
    search_ensembles(
        candidates.predictions,
        candidates.truth,
        k=k,
        n_classes=candidates.n_classes,
        rule=terms.rule,
        tie=terms.tie,
        probabilities=candidates.shares,
        weights=weights,
        objective=terms.objective,
        backend=backend,
        threads=terms.threads,
    )
    return time.perf_counter() - started


def name_backend(problem: Problem, terms: Terms) -> str:
    """The back end that a long search takes."""
    if terms.backend in _SAMPLES:
        return terms.backend
    if problem.is_bitsliceable:
        return "bitsliced"
    return "summed" if problem.is_summable and not terms.is_limited else "batched"


def _pose(electorate: Electorate, terms: Terms, k: int) -> Problem:
    return replace(electorate.pose(electorate.candidates, terms), k=k)


def format_duration(seconds: float) -> str:
    """A duration in the largest unit of which there is one at least.

    >>> format_duration(600), format_duration(5e15)
    ('10 minutes', '2e+08 years')
    """
    name, size = next(((name, size) for name, size in _UNITS if seconds >= size), ("seconds", 1.0))
    amount = seconds / size
    return f"{amount:.0e} {name}" if amount >= 10**6 else f"{amount:,.3g} {name}"
