"""How fast the exhaustive search is beside what others vote with, after checking that all decide alike."""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import combinations
from math import comb
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from measuring.surroundings import describe_machine, list_package_versions
from measuring.voters import VOTERS, Baseline, Voter, make_means, make_one_hot
from measuring.voting_problem import VotingProblem
from ser_store.errors import EnsembleError
from ser_store.voting import hard_vote, search_ensembles, soft_vote
from ser_store.voting.search import Backend, SearchResult
from ser_store_h5.progress import Progress, silent

RULES = ("hard", "soft")
PACKAGES = ("ser-store", "numpy", "numba", "pandas", "scipy", "scikit-learn", "mlxtend")
# Ensembles that all searches vote to be compared, that a library votes one by one, that the search written in numpy
# votes block by block, and that our own numpy votes.
CHECKED, SAMPLE, BLOCKS, BATCHED = 50_000, 40, 10, 20_000


@dataclass(frozen=True)
class Rate:
    """One line of the comparison.

    Attributes:
        name: of what votes.
        rule: ``hard`` or ``soft``.
        threads: that it may use.
        measured: ensembles that were voted each time; fewer than there are for what would take too long.
        seconds: median time for those measured.
        ratio: ensembles per second over those of the baseline of the rule, the search that one writes in numpy.
    """

    name: str
    rule: str
    threads: int
    measured: int
    seconds: float
    ratio: float

    @property
    def per_second(self) -> float:
        """Ensembles per second."""
        return self.measured / self.seconds


@dataclass(frozen=True)
class VoteComparison:
    """All that vote, in one run.

    Attributes:
        posed: the members.
        repeats: how often each search was timed.
        checked: ensembles on which the searches were compared by each rule; a library is compared on all it votes.
        rates: by rule: the libraries, the baseline, and our own searches.
        missing: what could not vote, and the library that is not installed.
    """

    posed: VotingProblem
    repeats: int
    checked: int
    rates: tuple[Rate, ...]
    missing: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        posed = self.posed
        drawn = {field.name: getattr(posed, field.name) for field in fields(posed)}
        return {
            "voting_problem": {**drawn, "members": posed.m, "ensembles": posed.total},
            "repeats": self.repeats,
            "checked": self.checked,
            "machine": describe_machine(),
            "versions": list_package_versions(PACKAGES),
            "rates": [{**vars(rate), "per_second": rate.per_second} for rate in self.rates],
            "missing": self.missing,
        }


@dataclass(frozen=True)
class _Timed:
    name: str
    threads: int
    measured: int
    seconds: float


@dataclass(frozen=True)
class _Search:
    """A search that can be timed: ``run`` returns its seconds for ``measured`` ensembles."""

    name: str
    threads: int
    measured: int
    run: Callable[[], float]


def compare_voting(
    posed: VotingProblem | None = None,
    *,
    repeats: int = 5,
    voters: tuple[Voter, ...] = VOTERS,
    progress: Progress = silent,
) -> VoteComparison:
    """Vote some ensembles with every library that is installed, and all of them with our own searches.

    Args:
        posed: default: 6 runs at 14 steps on 288 utterances of 8 classes, in fives.
        repeats: of our own searches and the baselines, which take turns, so that a busy machine slows all alike.
        voters: the libraries' ways to vote.

    Raises:
        EnsembleError: if any two do not decide alike, or there is nothing to search.
    """
    posed = posed or VotingProblem()
    if not 2 <= posed.k <= posed.m or repeats < 1:
        raise EnsembleError(
            f"{posed.k} of {posed.m} members, {repeats} times: expected 2 to {posed.m} members, at least once"
        )
    able = [voter for voter in voters if find_spec(voter.library) is not None]
    by_rule: dict[str, list[_Timed]] = {rule: [] for rule in RULES}
    for voter in progress(able, total=len(able), label="voting one by one"):
        by_rule[voter.rule].append(_time_voter(voter, posed))
    rates: list[Rate] = []
    for rule in progress(RULES, total=len(RULES), label="searching"):
        checked = _check(posed, rule)
        baseline, *own = _time_searches(posed, rule, repeats)
        per_second = baseline.measured / baseline.seconds
        rates += [
            Rate(rule=rule, ratio=timed.measured / timed.seconds / per_second, **vars(timed))
            for timed in (*by_rule[rule], baseline, *own)
        ]
    missing = {voter.name: voter.library for voter in voters if voter not in able}
    return VoteComparison(posed, repeats, checked, tuple(rates), missing)


def search(
    posed: VotingProblem,
    rule: str,
    *,
    backend: Backend,
    threads: int = 1,
    m: int | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Our own search among the first ``m`` members, or all."""
    found = search_ensembles(
        posed.predictions[:m],
        posed.truth,
        k=posed.k,
        n_classes=posed.n_classes,
        rule=rule,
        probabilities=posed.probabilities[:m],
        backend=backend,
        threads=threads,
        progress=progress,
    )
    if not found.complete:
        raise KeyboardInterrupt
    return found


def _time_voter(voter: Voter, posed: VotingProblem) -> _Timed:
    """The median of some ensembles, one by one, each of which must be decided as by our own rule."""
    import_module(voter.library)
    seconds = []
    for members in posed.sample(SAMPLE):
        votes, probabilities = posed.predictions[members], posed.probabilities[members]
        ballot = voter.prepare(votes, probabilities)
        started = time.perf_counter()
        decided = ballot()
        seconds.append(time.perf_counter() - started)
        own = soft_vote(probabilities) if voter.rule == "soft" else hard_vote(votes, n_classes=posed.n_classes)
        if not np.array_equal(decided, own.predicted):
            raise EnsembleError(f"{voter.name} decides otherwise than {voter.rule} voting: nothing is timed")
    return _Timed(voter.name, 1, SAMPLE, median(seconds) * SAMPLE)


def _check(posed: VotingProblem, rule: str) -> int:
    """Our own searches against the baseline, on all ensembles of some of the members; returns how many they are."""
    few = posed.count_members(at_most=CHECKED)
    combos = np.array(list(combinations(range(few), posed.k)))
    baseline = _make_baseline(posed, rule)
    correct = np.concatenate([baseline.vote(block) for block in _iter_blocks(combos, baseline)])
    for backend in posed.choose_backends(rule):
        found = search(posed, rule, backend=backend, m=few)
        best = [int(correct[(combos == score.members).all(axis=1)][0]) for score in found.results]
        agree = found.histogram is not None and np.array_equal(
            found.histogram, np.bincount(correct, minlength=posed.n + 1)
        )
        if not agree or best != sorted(correct.tolist(), reverse=True)[: len(best)]:
            raise EnsembleError(f"back end {backend!r} and the search in numpy do not agree: nothing is timed")
    return len(combos)


def _make_baseline(posed: VotingProblem, rule: str) -> Baseline:
    if rule == "soft":
        return make_means(posed.probabilities, posed.truth)
    return make_one_hot(posed.predictions, posed.truth, posed.n_classes)


def _iter_blocks(combos: NDArray[np.intp], baseline: Baseline) -> list[NDArray[np.intp]]:
    return [combos[start : start + baseline.block] for start in range(0, len(combos), baseline.block)]


def _time_searches(posed: VotingProblem, rule: str, repeats: int) -> list[_Timed]:
    """Medians, the baseline first."""
    searches = _list_searches(posed, rule)
    seconds = np.array([[search.run() for search in searches] for _ in range(repeats)])
    return [
        _Timed(search.name, search.threads, search.measured, float(taken))
        for search, taken in zip(searches, np.median(seconds, axis=0), strict=True)
    ]


def _list_searches(posed: VotingProblem, rule: str) -> list[_Search]:
    """The baseline, our own numpy, and our fastest back end on one thread and on all."""
    from ser_store.voting.compiled.parts import count_processors

    baseline = _make_baseline(posed, rule)
    combos = posed.sample(min(baseline.block * BLOCKS, posed.total))

    def run_baseline() -> float:
        started = time.perf_counter()
        for block in _iter_blocks(combos, baseline):
            baseline.vote(block)
        return time.perf_counter() - started

    def run_own(**options: Any) -> float:
        return search(posed, rule, **options).seconds

    # Our numpy votes the first members: nobody waits for it to finish what is compiled in a second.
    few = posed.count_members(at_most=BATCHED)
    n_few = comb(few, posed.k)
    searches = [
        _Search(baseline.name, 1, len(combos), run_baseline),
        _Search("serstore, batched", 1, n_few, partial(run_own, backend="batched", m=few)),
    ]
    backend = posed.choose_backends(rule)[-1]
    if backend != "batched":
        searches += [
            _Search(
                f"serstore, {backend}",
                threads,
                posed.total,
                partial(run_own, backend=backend, threads=threads),
            )
            for threads in sorted({1, count_processors()})
        ]
    return searches
