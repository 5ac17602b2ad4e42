"""Those who may be chosen, after what is asked of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.terms import Terms
from ser_store.errors import EnsembleError
from ser_store.voting.conditions import Conditions, set_conditions
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
    weights: NDArray[np.float64] | None
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
            "probabilities": candidates.probabilities,
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
            f"{candidates.accuracies[best]:.4f}"
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


def check_sizes(electorate: Electorate, terms: Terms, *, is_search: bool) -> None:
    """Refuse sizes of which there are no ensembles, or several and no search was asked for.

    Raises:
        EnsembleError: naming the candidates.
    """
    names = electorate.candidates.names
    shown = f"{', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
    for k in terms.ks:
        if k > len(names) and terms.search != "greedy":
            raise EnsembleError(
                f"k is {k} with {len(names)} candidates ({shown}): expected 1 to {len(names)}; add members, take "
                "--steps all, or choose a smaller --k"
            )
        if k != len(names) and not is_search:
            raise EnsembleError(
                f"there are {len(names)} candidates for {k} places: name exactly {k} members, or search all "
                f"{electorate.count(k):,} ensembles with --all-combos"
            )
        if not electorate.count(k) and terms.search != "greedy":
            raise EnsembleError(
                f"no ensemble of {k} of the {len(names)} candidates ({shown}) may stand under --one-step-per-run and "
                "--include: expected a smaller --k, or looser conditions"
            )
