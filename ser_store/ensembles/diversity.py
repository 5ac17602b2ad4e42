"""How differently the candidates err, and what each member of the best ensemble brings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import isnan
from typing import Any

from numpy.typing import NDArray

from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.options import Terms
from ser_store.voting.contributions import Contributions, compute_contributions
from ser_store.voting.diversity import (
    EnsembleDiversity,
    PairDiversity,
    compute_ensemble_diversity,
    compute_pair_diversity,
)


@dataclass(frozen=True)
class DiversityReport:
    """The measures of ``voting.diversity``, with names.

    Attributes:
        candidates: names of all candidates.
        pairs: of every two candidates.
        members: names of the best ensemble's members.
        ensemble: of the best ensemble.
        contributions: of each of its members, in the order of ``members``; None for an ensemble of one.
    """

    candidates: tuple[str, ...]
    pairs: PairDiversity
    members: tuple[str, ...]
    ensemble: EnsembleDiversity
    contributions: Contributions | None

    def list_pairs(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Both names and the four measures of every two of ``names``; None where a measure is undefined."""
        places = {name: place for place, name in enumerate(self.candidates)}
        return [
            {
                "members": [one, other],
                "disagreement": _define(self.pairs.disagreement[places[one], places[other]]),
                "q_statistic": _define(self.pairs.q_statistic[places[one], places[other]]),
                "double_fault": _define(self.pairs.double_fault[places[one], places[other]]),
                "kappa": _define(self.pairs.kappa[places[one], places[other]]),
            }
            for one, other in combinations(names, 2)
        ]

    def to_json(self) -> dict[str, Any]:
        rows = () if self.contributions is None else self.contributions.rows
        return {
            "ensemble": {name: _define(value) for name, value in asdict(self.ensemble).items()},
            "contributions": [
                {**asdict(row), "member": name} for name, row in zip(self.members, rows, strict=bool(rows))
            ],
            "pairs": self.list_pairs(self.candidates),
        }


def measure_diversity(
    candidates: Candidates, members: Sequence[int], weights: NDArray[Any] | None, terms: Terms
) -> DiversityReport:
    """The diversity of all candidates, and of the ensemble of those at ``members``."""
    chosen = list(members)
    truth, n_classes = candidates.truth, candidates.n_classes
    contributions = None
    if len(chosen) > 1:
        contributions = compute_contributions(
            candidates.predictions,
            truth,
            members=chosen,
            n_classes=n_classes,
            rule=terms.rule,
            tie=terms.tie,
            probabilities=candidates.shares,
            weights=weights,
        )
    return DiversityReport(
        candidates=candidates.names,
        pairs=compute_pair_diversity(candidates.predictions, truth, n_classes=n_classes),
        members=tuple(candidates.names[place] for place in chosen),
        ensemble=compute_ensemble_diversity(candidates.predictions[chosen], truth, n_classes=n_classes),
        contributions=contributions,
    )


def _define(value: float) -> float | None:
    return None if isnan(value) else float(value)
