"""Those who may be chosen, after what is asked of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.choice import Choice, Cut
from ser_store.ensembles.options import Terms
from ser_store.errors import EnsembleError
from ser_store.voting.constraints import Conditions, set_conditions
from ser_store.voting.problem import Problem, pose_problem


@dataclass(frozen=True, eq=False)
class Electorate:
    """Candidates that may be chosen, with what their votes weigh.

    Attributes:
        candidates: those that reach the least accuracy, or are required.
        places: ``(m,)``, where they stand among all candidates.
        weights: ``(m,)``, or None where all weigh alike.
        conditions: which ensembles may stand.
    """

    candidates: Candidates
    places: NDArray[np.intp]
    weights: NDArray[Any] | None
    conditions: Conditions

    def count(self, k: int) -> int:
        """Ensembles of ``k`` members that may stand."""
        return self.conditions.count(k) if k <= len(self.places) else 0

    def decide(self, members: Sequence[int], on: Candidates, terms: Terms) -> NDArray[np.int16]:
        """What an ensemble decides about the utterances of ``on``, all the candidates there, by the weights and the
        accuracies of this electorate: ``(n,)`` class indices, -1 where it abstains."""
        return self.pose(on, terms).vote(list(members)).predicted

    def pose(self, on: Candidates, terms: Terms) -> Problem:
        """The votes of this electorate on the utterances of ``on``, all the candidates there, as a problem of ``k`` 1.

        The accuracies are those of this electorate.
        """
        there = on.keep(self.places) if on is not self.candidates else on
        posed = pose_problem(there.predictions, there.truth, k=1, **self.list_options(there, terms))
        return replace(posed, accuracies=self.candidates.accuracies)

    def list_options(self, candidates: Candidates, terms: Terms) -> dict[str, Any]:
        return {
            "n_classes": candidates.n_classes,
            "rule": terms.rule,
            "tie": terms.tie,
            "probabilities": candidates.shares,
            "weights": self.weights,
            "objective": terms.objective,
        }


def admit(candidates: Candidates, terms: Terms, *, min_accuracy: float | None = None) -> Electorate:
    """The electorate of those who reach the least accuracy (default: that of ``terms``) on these utterances, or are
    required.

    Raises:
        EnsembleError: if nobody does.
    """
    bound = terms.min_accuracy if min_accuracy is None else min_accuracy
    is_required = np.zeros(len(candidates.names), dtype=bool)
    for pattern in terms.include:
        is_required[list(candidates.find(pattern))] = True
    places = np.flatnonzero((candidates.accuracies >= bound) | is_required)
    if not len(places):
        best = int(candidates.correct.argmax())
        raise EnsembleError(
            f"no candidate reaches --min-accuracy {bound:g}: the best is {candidates.names[best]} with "
            f"{candidates.accuracies[best]:.6g}, {candidates.correct[best]} of {len(candidates.truth)} right"
        )
    kept = candidates.keep(places)
    return Electorate(
        candidates=kept,
        places=places,
        weights=None if terms.weights is None else terms.weights.weigh(kept),
        conditions=set_conditions(
            len(places),
            groups=kept.runs if terms.one_step_per_run else None,
            required=[sorted(kept.find(pattern)) for pattern in terms.include],
        ),
    )


def check_sizes(
    electorate: Electorate,
    everything: Candidates,
    terms: Terms,
    *,
    is_search: bool,
    choice: Choice,
) -> None:
    """Refuse sizes of which there are no ensembles, or several and no search was asked for.

    Args:
        everything: all candidates, also those below the least accuracy.
        choice: how these were chosen.

    Raises:
        EnsembleError: naming the candidates, the options that left no more of them, and the way out.
    """
    names, m = electorate.candidates.names, len(electorate.places)
    for k in terms.ks:
        if terms.search == "greedy" or electorate.count(k):
            if k == m or is_search:
                continue
            raise EnsembleError(
                f"there are {m} candidates for {k} places: name exactly {k} members, or search all "
                f"{electorate.count(k):,} ensembles with --all-combos"
            )
        shown = f"{', '.join(names[:8])}{', …' if m > 8 else ''}"
        limits, ways_out = _explain_limits(electorate, everything, terms, k, choice.list_cuts())
        possible = [size for size in range(1, m + 1) if electorate.count(size)]
        sizes = " to ".join(map(str, dict.fromkeys([possible[0], possible[-1]]))) if possible else "looser conditions"
        refused = f"no ensemble of {k} of the {m} candidates ({shown}) may stand"
        if k > m:
            refused = f"k is {k} with {m} candidate{'s' if m > 1 else ''} ({shown})"
        raise EnsembleError(
            f"{refused}{': ' if limits else ''}{'; '.join(limits)}: expected {sizes}; {', '.join(ways_out)}"
        )


def _explain_limits(
    electorate: Electorate, everything: Candidates, terms: Terms, k: int, cuts: Sequence[Cut]
) -> tuple[list[str], list[str]]:
    """What keeps ensembles of ``k`` from being found, and what can be done about it."""
    m, m_before = len(electorate.places), len(everything.names)
    if m < m_before:
        # The k-th best, rounded down, so that it is reached.
        least = np.sort(everything.correct)[-min(k, m_before)] * 10_000 // len(everything.truth) / 10_000
        way_out = f"--min-accuracy {least:g} leaves {min(k, m_before)} or more"
        cuts = [*cuts, Cut(f"--min-accuracy {terms.min_accuracy:g}", m_before, m, way_out)]
    limits = list(map(str, cuts))
    ways_out = list(dict.fromkeys(cut.way_out for cut in cuts if cut.before >= k > m))
    if k > m and not ways_out:
        ways_out = ["add members"]
    if k <= m and terms.one_step_per_run:
        n_runs = len(electorate.conditions.sizes)
        limits.append(f"--one-step-per-run allows one of each of {n_runs} run{'s' if n_runs > 1 else ''}")
        ways_out.append("drop --one-step-per-run")
    if k <= m and terms.include:
        limits.append(f"one each of {', '.join(terms.include)} is asked for by --include")
        ways_out.append("--include fewer")
    return limits, [*ways_out, "choose another --k"]
