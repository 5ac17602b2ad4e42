"""What remains of the best ensemble's figure when it is corrected for having been chosen on these utterances."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.progress import Progress
from ser_store.ensembles.candidate_pool import Electorate, admit
from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.cost import guess_seconds, name_backend
from ser_store.ensembles.options import Terms
from ser_store.ensembles.search import Found, order_best, search_sizes
from ser_store.errors import UnknownNameError, describe_unknown
from ser_store.statistics.selection import (
    SelectionBias,
    UncorrectableError,
    correct_search_by_bootstrap,
    correct_selection_by_bootstrap,
    correct_selection_by_halves,
)
from ser_store.statistics.weighing import Weighing, weigh_alike, weigh_classes_alike
from ser_store.voting.outcomes import compute_outcomes
from ser_store.voting.subsets import unrank_lexicographic

METHODS = ("bootstrap", "halves", "none")

# Outcomes of so many ensembles and utterances are kept at once, at a byte each.
MAX_OUTCOMES = 20_000_000
# Repeats where the outcomes of all ensembles are kept, and where the search is run again each time.
OUTCOME_REPEATS = 1000
SEARCH_REPEATS = 200
HALVES_REPEATS = 50
# Searches that are repeated take so long together, by a guess that is the same on all machines; where fewer than the
# least number fit in, nothing is corrected unless the number is stated.
MAX_SECONDS = 60.0
LEAST_REPEATS = 10
_IGNORES_SPEAKERS = "corrected by utterance though speakers are known: for these speakers, too high for others"
# Seconds of all repeats in numpy from which compiled code is worth loading.
_COMPILED_FROM = 3.0
# Seconds of one vote of a greedy search, and of each utterance and class of it.
_GREEDY_VOTE, _GREEDY_CELL = 3e-5, 1e-8


@dataclass(frozen=True, eq=False)
class Correction:
    """How a choice is corrected.

    Attributes:
        method: ``bootstrap``, ``halves`` or ``none``.
        groups: ``(n,)``, the group of each utterance that is drawn whole; None to draw utterances.
        group_name: what the groups are.
        repeats: how often the choice is repeated. Default: as often as fits in.
        seed: of the samples.
        ignores_speakers: whether utterances are drawn though their speakers are known.
    """

    method: str = "bootstrap"
    groups: NDArray[Any] | None = None
    group_name: str = "speaker"
    repeats: int | None = None
    seed: int = 0
    ignores_speakers: bool = False


def check_method(method: str) -> None:
    """Raises UnknownNameError if there is no such method."""
    if method not in METHODS:
        raise UnknownNameError(describe_unknown("correction", method, METHODS))


def correct_choice(
    everything: Candidates,
    electorate: Electorate,
    terms: Terms,
    found: tuple[Found, ...],
    *,
    correction: Correction,
    progress: Progress,
) -> tuple[SelectionBias | None, str]:
    """The figure of the best ensemble as found and corrected, and where there is none, why.

    The figure is the objective: accuracy, or balanced accuracy. All that was chosen by what is right on these
    utterances is chosen again in every repeat: the candidates by their accuracy, their weights, the member that decides
    ties, the size of the ensemble and its members.

    Args:
        everything: all candidates, also those below the least accuracy.
        electorate: those who were searched.
        found: what was found among them.
    """
    best = order_best(found, terms)[0][1]
    apparent = best.accuracy if terms.objective == "accuracy" else best.balanced_accuracy
    if sum(one.total for one in found) == 1 and not terms.takes_from_truth:
        return SelectionBias(apparent=apparent, corrected=apparent, repeats=0, method="none: nothing was chosen"), ""
    if correction.method == "none":
        return None, "not corrected: --correct none"
    try:
        selection, note = _correct(everything, electorate, terms, found, correction, progress)
    except UncorrectableError as error:
        return None, f"not corrected: {error}"
    if selection is not None and correction.ignores_speakers:
        selection = replace(selection, caution=_IGNORES_SPEAKERS)
    return selection, note


def _correct(
    everything: Candidates,
    electorate: Electorate,
    terms: Terms,
    found: tuple[Found, ...],
    correction: Correction,
    progress: Progress,
) -> tuple[SelectionBias | None, str]:
    shared: dict[str, Any] = {
        "groups": correction.groups,
        "group_name": correction.group_name,
        "seed": correction.seed,
        "weigh": _weigh(everything, terms),
    }
    if correction.method == "bootstrap" and _fits_in_memory(electorate, terms):
        outcomes = list_outcomes(electorate, terms)
        repeats = correction.repeats or OUTCOME_REPEATS
        return correct_selection_by_bootstrap(outcomes, repeats=repeats, **shared), ""

    repeats = correction.repeats or count_repeats(electorate, terms, found, method=correction.method)
    if repeats < LEAST_REPEATS and correction.repeats is None:
        return None, (
            f"not corrected: fewer than {LEAST_REPEATS} such searches fit into {MAX_SECONDS:.0f} s; --repeats "
            f"{LEAST_REPEATS} takes the time"
        )
    search = _Choice(everything, electorate, terms, n_searches=repeats)
    shared |= {"n_utterances": len(everything.truth), "repeats": repeats, "progress": progress}
    if correction.method == "halves":
        return correct_selection_by_halves(search, **shared), ""
    return correct_search_by_bootstrap(search, **shared), ""


def count_repeats(electorate: Electorate, terms: Terms, found: tuple[Found, ...], *, method: str) -> int:
    """How many repeats fit in."""
    problem = electorate.pose(electorate.candidates, terms)
    if terms.search == "greedy":
        vote = _GREEDY_VOTE + _GREEDY_CELL * problem.n * problem.n_classes
        each = vote * sum(one.searched for one in found)
    elif terms.search == "pruned":
        each = sum(one.seconds for one in found)
    else:
        problems = [replace(problem, k=one.k) for one in found]
        each = sum(
            guess_seconds(posed, one.total, backend=name_backend(posed, terms))
            for posed, one in zip(problems, found, strict=True)
        )
    # A repeat has two halves, of half the utterances each.
    return min(int(MAX_SECONDS / max(each, 1e-9)), HALVES_REPEATS if method == "halves" else SEARCH_REPEATS)


def list_outcomes(electorate: Electorate, terms: Terms) -> NDArray[np.bool_]:
    """Which utterances every ensemble gets right, ``(ensembles, n)`` bool: by size, then lexicographically."""
    problem = electorate.pose(electorate.candidates, terms)
    m = len(electorate.places)
    parts = []
    for k in terms.ks:
        outcomes = compute_outcomes(replace(problem, k=k))
        members = unrank_lexicographic(0, len(outcomes), size=k, n_candidates=m)
        # The search goes by the last member but one first, then by those before from right to left, then by the last.
        keys = (members[:, -1], *(members[:, place] for place in range(k - 1)))
        lexicographic = np.empty_like(outcomes)
        lexicographic[np.lexsort(keys)] = outcomes
        parts.append(lexicographic[electorate.conditions.allow(members)] if terms.is_limited else lexicographic)
    return np.concatenate(parts)


def _fits_in_memory(electorate: Electorate, terms: Terms) -> bool:
    """Whether all there is to choose from is the ensembles, and their outcomes fit."""
    if terms.takes_from_truth or terms.search in ("greedy", "pruned"):
        return False
    from math import comb

    m, n = len(electorate.places), len(electorate.candidates.truth)
    return sum(comb(m, k) for k in terms.ks) * n <= MAX_OUTCOMES


def _weigh(everything: Candidates, terms: Terms) -> Weighing:
    return weigh_alike if terms.objective == "accuracy" else weigh_classes_alike(everything.truth)


class _Choice:
    """The whole search, as a function of the utterances it sees; Ctrl-C ends it."""

    def __init__(self, everything: Candidates, electorate: Electorate, terms: Terms, *, n_searches: int) -> None:
        self._everything, self._terms = everything, terms
        self._backend = _choose_backend(electorate, terms, n_searches)

    def __call__(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        electorate = self._admit(self._everything.at(rows))
        found = search_sizes(electorate, self._fit(electorate), top=1, backend=self._backend)
        if not found or not found[-1].complete:
            raise KeyboardInterrupt
        members = order_best(found, self._terms)[0][1].members
        predicted = electorate.decide(members, self._everything, self._terms)
        right: NDArray[np.bool_] = predicted == self._everything.truth
        return right

    def _admit(self, seen: Candidates) -> Electorate:
        """Those who reach the least accuracy here; where no ensemble of them can stand, the least is lowered until one
        can."""
        bounds = [self._terms.min_accuracy, *sorted(set(seen.accuracies.tolist()), reverse=True)]
        lower = [bound for bound in bounds if bound <= self._terms.min_accuracy]
        for bound in lower:
            if bound <= seen.accuracies.max():
                electorate = admit(seen, self._terms, min_accuracy=bound)
                if self._fit(electorate).ks:
                    return electorate
        return admit(seen, self._terms, min_accuracy=0.0)

    def _fit(self, electorate: Electorate) -> Terms:
        """The sizes of which there are ensembles."""
        if self._terms.search == "greedy":
            return self._terms
        return replace(self._terms, ks=tuple(k for k in self._terms.ks if electorate.count(k)))


def _choose_backend(electorate: Electorate, terms: Terms, n_searches: int) -> str:
    """Compiled code is loaded once for all repeats, which pays sooner than for one search."""
    if terms.backend != "auto" and not terms.runs_on_cluster:
        return terms.backend
    problem = electorate.pose(electorate.candidates, terms)
    total = sum(electorate.count(k) for k in terms.ks)
    if guess_seconds(problem, total, backend="batched") * n_searches < _COMPILED_FROM:
        return "auto"
    backends = {name_backend(replace(problem, k=k), terms) for k in terms.ks}
    return backends.pop() if len(backends) == 1 else "auto"
