"""How differently the candidates err, and what each member of the best ensemble contributes."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import isnan
from typing import Any

from ser_store.common.display import Block, Result
from ser_store.ensembles.candidate_pool import CandidatePool
from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.report_text import describe_diversity
from ser_store.ensembles.search import order_best
from ser_store.voting.diversity import (
    Contributions,
    EnsembleDiversity,
    PairDiversity,
    compute_contributions,
    compute_ensemble_diversity,
    compute_pair_diversity,
)
from ser_store.voting.search import SearchResult


@dataclass(frozen=True, repr=False)
class DiversityReport(Result):
    """How differently candidates err, and what each member of the best ensemble contributes.

    :meth:`to_frame` gives a row for every two candidates: ``first``, ``second`` and the four measures, explained in
    :class:`~ser_store.voting.diversity.PairDiversity`.

    Attributes:
        candidates: names of all candidates.
        pairs: the measures of every two candidates.
        members: names of the best ensemble's members.
        ensemble: the measures of the best ensemble.
        contributions: what each of its members contributes, in the order of ``members``; None for an ensemble of one.
    """

    candidates: tuple[str, ...]
    pairs: PairDiversity
    members: tuple[str, ...]
    ensemble: EnsembleDiversity
    contributions: Contributions | None

    def list_pairs(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return both names and the four measures of every two of ``names``; None where a measure is undefined."""
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

    def describe(self) -> Iterable[Block]:
        """Return what each member contributes, and how differently pairs err, as the command prints it."""
        return describe_diversity(self)

    def records(self) -> list[dict[str, Any]]:
        """Return a row for every two candidates."""
        rows = []
        for pair in self.list_pairs(self.candidates):
            first, second = pair.pop("members")
            rows.append({"first": first, "second": second, **pair})
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return the measures as the command's JSON has them."""
        rows = () if self.contributions is None else self.contributions.rows
        return {
            "ensemble": {name: _define(value) for name, value in asdict(self.ensemble).items()},
            "contributions": [
                {**asdict(row), "member": name} for name, row in zip(self.members, rows, strict=bool(rows))
            ],
            "pairs": self.list_pairs(self.candidates),
        }


def measure_diversity(pool: CandidatePool, reported: Candidates, found: Sequence[SearchResult]) -> DiversityReport:
    """Return the diversity of all candidates of the pool, and of the best ensemble that was found.

    Args:
        pool: the candidates that were searched.
        reported: all candidates on the utterances that are reported on.
        found: what was found among them.
    """
    candidates, options = reported.keep(pool.places), pool.options
    chosen = list(order_best(found, options.objective)[0][1].members)
    truth, n_classes = candidates.truth, candidates.n_classes
    return DiversityReport(
        candidates=candidates.names,
        pairs=compute_pair_diversity(candidates.predictions, truth, n_classes=n_classes),
        members=tuple(candidates.names[place] for place in chosen),
        ensemble=compute_ensemble_diversity(candidates.predictions[chosen], truth, n_classes=n_classes),
        contributions=compute_contributions(pool.pose_on(reported), chosen) if len(chosen) > 1 else None,
    )


def _define(value: float) -> float | None:
    return None if isnan(value) else float(value)
