"""The ensembles that were found, with names and with their figures on the utterances that are reported on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.candidate_pool import Electorate
from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.options import Terms
from ser_store.ensembles.report import RankedEnsemble
from ser_store.ensembles.search import Found, order_best
from ser_store.evaluation.uncertainty import choose_rule, find_accuracy_intervals
from ser_store.metrics import compute_balanced_accuracy
from ser_store.statistics.intervals import Interval
from ser_store.voting.rules import Votes
from ser_store.voting.search import EnsembleScore


class Ranking:
    """Looks up what was found.

    Attributes:
        best_single: the best candidate where the ensembles were chosen, and its accuracy where they are reported on.
    """

    def __init__(
        self,
        electorate: Electorate,
        reported: Candidates,
        terms: Terms,
        *,
        speakers: NDArray[np.intp] | None,
        is_elsewhere: bool,
    ) -> None:
        """
        Args:
            reported: all candidates on the utterances that are reported on.
            speakers: ``(n,)``, of those utterances, or None where unknown.
            is_elsewhere: whether these are others than those that were searched.
        """
        self._names, self._terms = electorate.candidates.names, terms
        self._problem = electorate.pose(reported, terms)
        self._rule = choose_rule(speakers)
        self._is_elsewhere = is_elsewhere
        best = int(electorate.candidates.correct.argmax())
        accuracy = reported.keep(electorate.places).accuracies[best]
        self.best_single = (self._names[best], float(accuracy))

    def rank(self, found: Sequence[Found], top: int) -> tuple[RankedEnsemble, ...]:
        """The ``top`` best of what was found, best first."""
        ordered = order_best(found, self._terms)[:top]
        votes = [self._problem.vote(list(chosen.members)) for _, chosen in ordered]
        intervals = find_accuracy_intervals(
            np.array([cast.predicted == self._problem.truth for cast in votes]), self._rule
        )
        return tuple(
            self._look_up(one.k, chosen, cast, interval)
            for (one, chosen), cast, interval in zip(ordered, votes, intervals, strict=True)
        )

    def _look_up(self, k: int, chosen: EnsembleScore, votes: Votes, interval: Interval) -> RankedEnsemble:
        score = self._score(chosen.members, votes) if self._is_elsewhere else chosen
        return RankedEnsemble(
            k=k,
            members=tuple(self._names[place] for place in chosen.members),
            score=score,
            interval=interval,
            gain=score.accuracy - self.best_single[1],
            chosen=chosen if self._is_elsewhere else None,
        )

    def _score(self, members: tuple[int, ...], votes: Votes) -> EnsembleScore:
        truth, n_classes = self._problem.truth, self._problem.n_classes
        correct = int(np.count_nonzero(votes.predicted == truth))
        return EnsembleScore(
            members=members,
            correct=correct,
            n=len(truth),
            accuracy=correct / len(truth),
            balanced_accuracy=compute_balanced_accuracy(truth, votes.predicted, n_classes=n_classes),
            ties=int(np.count_nonzero(votes.tied)),
        )
