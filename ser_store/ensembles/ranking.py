"""The ensembles that were found, with names and with their figures on the utterances that are reported on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ser_store.common.display import Block, Percent, Result, format_interval
from ser_store.ensembles.candidate_pool import CandidatePool
from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.search import order_best
from ser_store.ensembles.utterances import Utterances
from ser_store.evaluation.uncertainty import choose_rule, find_accuracy_intervals, find_balanced_intervals
from ser_store.statistics.bootstrap import Interval
from ser_store.voting.search import EnsembleScore, SearchResult, score_votes
from ser_store_h5.names import Ensemble


@dataclass(frozen=True, repr=False)
class RankedEnsemble(Result):
    """An ensemble of named members, and its figures.

    Attributes:
        k: the size it was searched by; a greedy search may find a smaller one.
        members: their names; of a greedy search some may occur several times.
        score: its figures on the part reported on.
        interval: of its accuracy.
        balanced_interval: of its balanced accuracy.
        gain: its accuracy less that of the best single candidate.
        chosen: its figures on the part it was chosen on, where that is another.
    """

    k: int
    members: tuple[str, ...]
    score: EnsembleScore
    interval: Interval
    balanced_interval: Interval
    gain: float
    chosen: EnsembleScore | None = None

    @property
    def name(self) -> str:
        """The ensemble as it is written where a member is named: its members joined by ``+``."""
        return "+".join(self.members)

    @property
    def chosen_score(self) -> EnsembleScore:
        """Its figures on the part it was chosen on."""
        return self.score if self.chosen is None else self.chosen

    def describe(self) -> Iterable[Block]:
        """Yield the figures in one line."""
        score = self.score
        yield (
            f"{self.name}: {score.correct}/{score.n} right, accuracy {Percent(score.accuracy)} "
            f"{format_interval(self.interval.bounds)}, balanced accuracy {Percent(score.balanced_accuracy)} "
            f"{format_interval(self.balanced_interval.bounds)}, gain {self.gain * 100:+.2f} points"
        )

    def records(self) -> list[dict[str, Any]]:
        """Return one row: members, k, figures, interval, ties and gain."""
        score = self.score
        row = {"members": self.name, "k": len(self.members), **_list_figures(score)}
        row |= {"low": self.interval.low, "high": self.interval.high, "ties": score.ties, "gain": self.gain}
        return [row if self.chosen is None else row | {"chosen_accuracy": self.chosen.accuracy}]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as the command's JSON has them."""
        document: dict[str, Any] = {"members": list(self.members), **_list_figures(self.score)}
        document["ci95"] = list(self.interval.bounds)
        document["balanced_accuracy_ci95"] = list(self.balanced_interval.bounds)
        document["ties"] = self.score.ties
        document["gain"] = self.gain
        document["k"] = self.k
        if self.chosen is not None:
            document["chosen"] = _list_figures(self.chosen)
        return document


@dataclass(frozen=True)
class Ranking:
    """The best ensembles, best first.

    Attributes:
        ensembles: of all sizes.
        best_by_size: of each size.
        best_single: the best candidate where the ensembles were chosen, and its accuracy where they are reported on.
    """

    ensembles: tuple[RankedEnsemble, ...]
    best_by_size: dict[int, tuple[RankedEnsemble, ...]]
    best_single: tuple[str, float]


def rank(
    pool: CandidatePool, found: Sequence[SearchResult], reported: Candidates, utterances: Utterances, *, top: int
) -> Ranking:
    """Return the ``top`` best of what was found, with names and figures.

    Args:
        pool: the candidates that were searched.
        found: what was found among them, by size.
        reported: all candidates on the utterances that are reported on.
        utterances: those of the vote.
        top: how many to return.
    """
    names, problem = pool.candidates.names, pool.pose_on(reported)
    best = int(pool.candidates.correct.argmax())
    alone = float(reported.accuracies[pool.places[best]])
    rule = choose_rule(utterances.speakers)
    is_elsewhere = utterances.select_on is not None

    def look_up(some: Sequence[SearchResult]) -> tuple[RankedEnsemble, ...]:
        ordered = order_best(some, pool.options.objective)[:top]
        votes = [problem.vote(list(chosen.members)) for _, chosen in ordered]
        predicted = np.array([own.predicted for own in votes])
        intervals = find_accuracy_intervals(predicted == problem.truth, rule)
        balanced = find_balanced_intervals(problem.truth, predicted, n_classes=problem.n_classes, rule=rule)
        ranked = []
        for (one, chosen), own, interval, balanced_interval in zip(ordered, votes, intervals, balanced, strict=True):
            score = score_votes(problem, chosen.members, own) if is_elsewhere else chosen
            ranked.append(
                RankedEnsemble(
                    k=one.k,
                    members=Ensemble(names[place] for place in chosen.members),
                    score=score,
                    interval=interval,
                    balanced_interval=balanced_interval,
                    gain=score.accuracy - alone,
                    chosen=chosen if is_elsewhere else None,
                )
            )
        return tuple(ranked)

    best_by_size = {one.k: look_up((one,)) for one in found}
    ensembles = best_by_size[found[0].k] if len(found) == 1 else look_up(found)
    return Ranking(ensembles, best_by_size, (names[best], alone))


def _list_figures(score: EnsembleScore) -> dict[str, Any]:
    return {
        "correct": score.correct,
        "n": score.n,
        "accuracy": score.accuracy,
        "balanced_accuracy": score.balanced_accuracy,
    }
