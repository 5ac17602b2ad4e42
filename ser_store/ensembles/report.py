"""What a vote says: the best ensembles, how all are distributed, and what is left of the best after correction."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.options import Terms
from ser_store.ensembles.search import Found
from ser_store.statistics.intervals import Interval
from ser_store.statistics.selection import SelectionBias
from ser_store.voting.search import EnsembleScore

if TYPE_CHECKING:
    from ser_store.ensembles.diversity import DiversityReport

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class RankedEnsemble:
    """An ensemble of named members.

    Attributes:
        k: the size it was searched by; a greedy search may find a smaller one.
        members: their names; of a greedy search some may occur several times.
        score: its figures on the part reported on.
        interval: of its accuracy.
        gain: its accuracy less that of the best single candidate.
        chosen: its figures on the part it was chosen on, where that is another.
    """

    k: int
    members: tuple[str, ...]
    score: EnsembleScore
    interval: Interval
    gain: float
    chosen: EnsembleScore | None = None

    @property
    def chosen_score(self) -> EnsembleScore:
        """Its figures on the part it was chosen on."""
        return self.score if self.chosen is None else self.chosen

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"members": list(self.members), **_list_figures(self.score)}
        document["ci95"] = [self.interval.low, self.interval.high]
        document["ties"] = self.score.ties
        document["gain"] = self.gain
        document["k"] = self.k
        if self.chosen is not None:
            document["chosen"] = _list_figures(self.chosen)
        return document


@dataclass(frozen=True)
class Distribution:
    """How many ensembles had how many utterances right.

    Attributes:
        correct: ``(d,)`` ascending, the numbers of utterances right that occur.
        ensembles: ``(d,)``, how many ensembles had them.
    """

    correct: tuple[int, ...]
    ensembles: tuple[int, ...]

    def find_quantiles(self) -> tuple[int, ...]:
        """Utterances right of the worst ensemble, at the three quartiles, and of the best.

        The q-quantile is the least number that a share of q of the ensembles does not exceed.
        """
        below = np.cumsum(self.ensembles)
        places = np.searchsorted(below, np.array(QUANTILES) * below[-1], side="left")
        return tuple(self.correct[place] for place in places)

    def to_json(self) -> dict[str, list[int]]:
        return {"correct": list(self.correct), "ensembles": list(self.ensembles)}


def distribute(found: tuple[Found, ...]) -> Distribution | None:
    """The distribution over the ensembles of all sizes; None if not all were voted, or none yet."""
    histograms = [one.histogram for one in found if one.histogram is not None]
    if len(histograms) < len(found) or not histograms:
        return None
    histogram: NDArray[np.int64] = np.sum(histograms, axis=0)
    occurring = np.flatnonzero(histogram)
    if not len(occurring):
        return None
    return Distribution(tuple(occurring.tolist()), tuple(histogram[occurring].tolist()))


@dataclass(frozen=True)
class VoteReport:
    """The outcome of a vote.

    Attributes:
        on: the part of the split that is reported on.
        split: the split; None where the corpus has none.
        chosen_on: the part that was searched, if it is another.
        terms: by what rule, and how it was searched.
        rule: as it was asked for: that of ``terms``, or ``weighted``.
        candidates: names of the members that were combined.
        weights: of the candidates, or None where all weigh alike.
        found: what the search found for each size; members by their place among the candidates.
        ensembles: the best of all sizes, best first.
        best_by_size: the best of each size, best first.
        best_single: the most accurate candidate alone, and its accuracy.
        complete: False if the search or the correction was interrupted.
        selection: the best ensemble's figure as found, and corrected for having been chosen on these utterances.
        note: why nothing was corrected, if so.
        diversity: how differently the candidates err, where it was asked for.
        distribution: of all ensembles, where all were voted.
        kinds: a line on candidates whose scores the rule takes for what they are not.
        heard: what the candidates' models have heard of the utterances, who was left out, and which classes do not
            occur, a line each.
    """

    on: str
    split: str | None
    chosen_on: str | None
    terms: Terms
    rule: str
    candidates: tuple[str, ...]
    weights: tuple[float, ...] | None
    found: tuple[Found, ...]
    ensembles: tuple[RankedEnsemble, ...]
    best_by_size: dict[int, tuple[RankedEnsemble, ...]]
    best_single: tuple[str, float]
    complete: bool
    selection: SelectionBias | None
    note: str = ""
    diversity: "DiversityReport | None" = None
    distribution: Distribution | None = None
    kinds: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()

    @property
    def gain(self) -> float:
        """Accuracy of the best ensemble less that of the best single candidate."""
        return self.ensembles[0].gain

    @property
    def searched(self) -> int:
        """Ensembles voted."""
        return sum(one.searched for one in self.found)

    @property
    def seconds(self) -> float:
        """Wall-clock time of the search."""
        return sum(one.seconds for one in self.found)

    @property
    def is_searched(self) -> bool:
        """Whether the search came to its end, whatever became of the correction."""
        return len(self.found) == len(self.terms.ks) and self.found[-1].complete

    @property
    def cautions(self) -> tuple[str, ...]:
        """Why figures, intervals and corrections can be trusted less than they say."""
        cautions = [self.ensembles[0].interval.caution, None if self.selection is None else self.selection.caution]
        return (*self.heard, *self.kinds, *dict.fromkeys(caution for caution in cautions if caution is not None))

    @property
    def search(self) -> str:
        """``exhaustive``, ``greedy`` or ``pruned``."""
        return self.found[0].method

    @property
    def proved(self) -> bool:
        """Whether there is no better ensemble of these sizes."""
        return all(one.proved for one in self.found) and len(self.found) == len(self.terms.ks)

    def to_json(self) -> dict[str, Any]:
        ks = self.terms.ks
        document: dict[str, Any] = {
            "on": self.on,
            "split": self.split,
            "k": ks[0] if len(ks) == 1 else list(ks),
            "rule": self.rule,
            "tie": self.terms.tie,
            "objective": self.terms.objective,
            "candidates": list(self.candidates),
            "searched": self.searched,
            "complete": self.complete,
            "search": self.search,
            "proved": self.proved,
            "bound": self._list_bounds(),
            "seconds": self.seconds,
            "results": [ensemble.to_json() for ensemble in self.ensembles],
            "ci95_method": self.ensembles[0].interval.method,
            "cautions": list(self.cautions),
            "best_single": {"member": self.best_single[0], "accuracy": self.best_single[1]},
            "gain": self.gain,
            "distribution": None if self.distribution is None else self.distribution.to_json(),
            "selection": None if self.selection is None else self._selection_to_json(self.selection),
        }
        if self.chosen_on is not None:
            document["chosen_on"] = self.chosen_on
        if self.note:
            document["note"] = self.note
        if self.weights is not None and self.terms.weights is not None:
            document["weights"] = {
                "source": self.terms.weights.source,
                "by_member": dict(zip(self.candidates, self.weights, strict=True)),
            }
        if len(ks) > 1:
            document["by_k"] = [self._size_to_json(one) for one in self.found]
        if self.diversity is not None:
            document["diversity"] = self.diversity.to_json()
        return document

    def _list_bounds(self) -> int | None:
        """The most utterances that an ensemble can get right, as far as it is known of all sizes."""
        bounds = [one.bound for one in self.found if one.bound is not None]
        return max(bounds) if len(bounds) == len(self.terms.ks) else None

    def _selection_to_json(self, selection: SelectionBias) -> dict[str, Any]:
        return {**selection.to_json(), "of": self.terms.objective}

    def _size_to_json(self, one: Found) -> dict[str, Any]:
        distribution = distribute((one,))
        return {
            "k": one.k,
            "total": one.total,
            "searched": one.searched,
            "complete": one.complete,
            "seconds": one.seconds,
            "results": [ensemble.to_json() for ensemble in self.best_by_size[one.k]],
            "distribution": None if distribution is None else distribution.to_json(),
        }


def _list_figures(score: EnsembleScore) -> dict[str, Any]:
    return {
        "correct": score.correct,
        "n": score.n,
        "accuracy": score.accuracy,
        "balanced_accuracy": score.balanced_accuracy,
    }
