"""The result of a vote: the best ensembles, the distribution of all, and the corrected figure of the best."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Block, Result
from ser_store.ensembles.candidate_pool import CandidatePool
from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.correction import Corrected
from ser_store.ensembles.diversity import DiversityReport
from ser_store.ensembles.options import VoteOptions
from ser_store.ensembles.ranking import RankedEnsemble, Ranking
from ser_store.ensembles.report_text import caption_vote, describe_best, describe_distribution, describe_report
from ser_store.ensembles.utterances import Utterances
from ser_store.evaluation.leakage import caution_leakage
from ser_store.evaluation.score_kinds import CONFIDENCE, SOFT_VOTES, caution_scores
from ser_store.metrics import caution_absent_classes
from ser_store.metrics.absent_classes import caution_unanswered
from ser_store.metrics.class_indices import ABSTAINED
from ser_store.statistics.repeated_choice import SelectionBias
from ser_store.voting.search import SearchResult
from ser_store_h5.store import Store

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, repr=False)
class Distribution(Result):
    """How many ensembles had how many utterances right.

    Attributes:
        correct: ``(d,)`` ascending, the numbers of utterances right that occur.
        ensembles: ``(d,)``, how many ensembles had them.
    """

    correct: tuple[int, ...]
    ensembles: tuple[int, ...]

    def describe(self) -> Iterable[Block]:
        """Return the quantiles and a histogram, as the command prints them."""
        return describe_distribution(self)

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each number of utterances right that occurs: ``correct`` and ``ensembles``."""
        return [
            {"correct": correct, "ensembles": ensembles}
            for correct, ensembles in zip(self.correct, self.ensembles, strict=True)
        ]

    def find_quantiles(self) -> tuple[int, ...]:
        """Return how many utterances the worst ensemble has right, those at the three quartiles, and the best.

        The q-quantile is the least number that a share of q of the ensembles does not exceed.
        """
        below = np.cumsum(self.ensembles)
        places = np.searchsorted(below, np.array(QUANTILES) * below[-1], side="left")
        return tuple(self.correct[place] for place in places)

    def to_json(self) -> dict[str, list[int]]:
        return {"correct": list(self.correct), "ensembles": list(self.ensembles)}


def distribute(found: tuple[SearchResult, ...]) -> Distribution | None:
    """Return the distribution over the ensembles of all sizes; None if not all were voted, or none yet."""
    histograms = [one.histogram for one in found if one.histogram is not None]
    if len(histograms) < len(found) or not histograms:
        return None
    histogram: NDArray[np.int64] = np.sum(histograms, axis=0)
    occurring = np.flatnonzero(histogram)
    if not len(occurring):
        return None
    return Distribution(tuple(occurring.tolist()), tuple(histogram[occurring].tolist()))


@dataclass(frozen=True, repr=False)
class VoteReport(Result):
    """The outcome of a vote: ``print(report)`` shows it as the command does.

    :meth:`to_frame` gives a row for each of the best ensembles: ``rank``, ``members`` (joined by ``+``), ``k``,
    ``correct``, ``n``, ``accuracy``, ``balanced_accuracy``, the 95% interval of the accuracy ``low`` and ``high``,
    ``ties`` and ``gain``; where the ensembles were chosen on another part, ``chosen_accuracy`` there.

    Attributes:
        on: the part of the split that is reported on.
        split: the split; None where the corpus has none.
        chosen_on: the part that was searched, if it is another.
        options: what was asked for, with the sizes that were searched.
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
        stated: a line each on members that were left out, what the candidates' models have learned from the utterances,
            classes that do not occur, and scores that are no probabilities where the rule adds these up.
        saved: the name of the member that the best ensemble was saved as, if it was.
    """

    on: str
    split: str | None
    chosen_on: str | None
    options: VoteOptions
    candidates: tuple[str, ...]
    weights: tuple[float, ...] | None
    found: tuple[SearchResult, ...]
    ensembles: tuple[RankedEnsemble, ...]
    best_by_size: dict[int, tuple[RankedEnsemble, ...]]
    best_single: tuple[str, float]
    complete: bool
    selection: SelectionBias | None
    note: str = ""
    diversity: DiversityReport | None = None
    distribution: Distribution | None = None
    stated: tuple[str, ...] = ()
    saved: str | None = None

    @property
    def ks(self) -> tuple[int, ...]:
        """The sizes of the ensembles, ascending."""
        return self.options.ks or ()

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
        return len(self.found) == len(self.ks) and self.found[-1].complete

    @property
    def cautions(self) -> tuple[str, ...]:
        """Why figures, intervals and corrections can be trusted less than they say."""
        cautions = [self.ensembles[0].interval.caution, None if self.selection is None else self.selection.caution]
        return (*self.stated, *dict.fromkeys(caution for caution in cautions if caution is not None))

    @property
    def search(self) -> str:
        """``exhaustive``, ``greedy`` or ``pruned``."""
        return self.found[0].method

    @property
    def proved(self) -> bool:
        """Whether there is no better ensemble of these sizes."""
        return all(one.proved for one in self.found) and len(self.found) == len(self.ks)

    def describe(self) -> Iterable[Block]:
        """Return the lines and tables that the command prints."""
        return describe_report(self)

    def describe_best(self) -> Iterable[Block]:
        """Return the first of these lines: what was searched, and the best ensemble as it was found."""
        return describe_best(self)

    def caption(self) -> str:
        return caption_vote(self)

    def correct(self, corrected: Corrected) -> "VoteReport":
        """Return the report with the outcome of the correction."""
        return replace(self, selection=corrected.selection, note=corrected.note, complete=corrected.complete)

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each of the best ensembles."""
        return [{"rank": rank} | ensemble.records()[0] for rank, ensemble in enumerate(self.ensembles, start=1)]

    def to_json(self) -> dict[str, Any]:
        """Return the document that the command prints with ``--json``."""
        ks, options = self.ks, self.options
        document: dict[str, Any] = {
            "on": self.on,
            "split": self.split,
            "k": ks[0] if len(ks) == 1 else list(ks),
            "rule": options.rule,
            "tie": options.tie,
            "objective": options.objective,
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
        if self.saved is not None:
            document["saved"] = self.saved
        if self.note:
            document["note"] = self.note
        if self.weights is not None and options.weights is not None:
            document["weights"] = {
                "source": options.weights.source,
                "by_member": dict(zip(self.candidates, self.weights, strict=True)),
            }
        if len(ks) > 1:
            document["by_k"] = [self._size_to_json(one) for one in self.found]
        if self.diversity is not None:
            document["diversity"] = self.diversity.to_json()
        return document

    def _list_bounds(self) -> int | None:
        """Return the most utterances that an ensemble can get right, as far as it is known of all sizes."""
        bounds = [one.bound for one in self.found if one.bound is not None]
        return max(bounds) if len(bounds) == len(self.ks) else None

    def _selection_to_json(self, selection: SelectionBias) -> dict[str, Any]:
        return {**selection.to_json(), "of": self.options.objective}

    def _size_to_json(self, one: SearchResult) -> dict[str, Any]:
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


def make_report(
    pool: CandidatePool,
    found: tuple[SearchResult, ...],
    ranking: Ranking,
    utterances: Utterances,
    *,
    cautions: tuple[str, ...],
    diversity: DiversityReport | None,
) -> VoteReport:
    """Return the outcome of all stages but the correction."""
    return VoteReport(
        on=utterances.on,
        split=utterances.split,
        chosen_on=utterances.select_on,
        options=pool.options,
        candidates=pool.candidates.names,
        weights=None if pool.weights is None else tuple(map(float, pool.weights)),
        found=found,
        ensembles=ranking.ensembles,
        best_by_size=ranking.best_by_size,
        best_single=ranking.best_single,
        complete=len(found) == len(pool.ks) and found[-1].complete,
        selection=None,
        note="not corrected yet",
        diversity=diversity,
        distribution=distribute(found),
        stated=cautions,
    )


def list_cautions(
    store: Store, pool: CandidatePool, reported: Candidates, utterances: Utterances, *, chosen: bool
) -> tuple[str, ...]:
    """Return why figures of these candidates can be trusted less than they say, a line each.

    Args:
        store: the store.
        pool: the candidates that were searched.
        reported: all candidates on the utterances that are reported on.
        utterances: those of the vote.
        chosen: whether the candidates are their runs' selected steps.
    """
    names, options, classes = pool.candidates.names, pool.options, store.corpus.classes
    # An answer that is none of the classes is a vote for one more.
    answers = np.where(reported.predictions == len(classes), ABSTAINED, reported.predictions)
    cautions = (
        *caution_leakage(store, names, utterances.reported, chosen=chosen),
        *caution_absent_classes(reported.truth, classes),
        *caution_unanswered(reported.names, answers),
    )
    if not options.needs_shares:
        return cautions
    kinds = CONFIDENCE if options.voting_rule == "hard" else SOFT_VOTES
    return (*cautions, *caution_scores(store, names, of=kinds))
