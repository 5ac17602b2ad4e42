"""A search that is run on parts of the utterances and scored on the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.progress import Progress
from ser_store.metrics.class_indices import MetricError
from ser_store.statistics.repeated_choice import Selection, find_limits, is_outcome, summarise_scores
from ser_store.statistics.resampling import Units
from ser_store.statistics.weighing import Weighing, score_outcomes

# Takes the utterances to choose on, ascending, and gives the outcomes of the chosen on all utterances.
Choose = Callable[[NDArray[np.intp]], NDArray[Any]]


@dataclass(frozen=True)
class Searching:
    """A search, and how what it finds is scored."""

    choose: Choose
    units: Units
    weigh: Weighing
    progress: Progress

    def search(self, counts: NDArray[np.intp]) -> NDArray[Any]:
        """Outcomes ``(n,)`` of what is chosen on utterances that are counted so often."""
        n = self.units.n
        outcomes = np.asarray(self.choose(np.repeat(np.arange(n), counts)))
        if outcomes.shape != (n,) or not is_outcome(outcomes):
            raise MetricError(
                f"the search returned {outcomes.dtype} of shape {outcomes.shape}: expected bool, or finite float, of "
                f"shape ({n},)"
            )
        return outcomes

    def score(self, outcomes: NDArray[Any], counts: NDArray[np.intp]) -> float:
        return float(score_outcomes(outcomes, self.weigh(counts[None])[0]))


def correct_by_splits(
    searching: Searching,
    splits: Sequence[tuple[NDArray[np.intp], NDArray[np.bool_]]],
    *,
    repeats: int,
    method: str,
    confidence: float,
) -> Selection:
    """Search on the one part of every split, score on the other.

    Args:
        splits: how often each unit is searched on, ``(n_units,)``, and which units are scored on, ``(n_units,)``.
    """
    units = searching.units
    scores: list[float] = []
    n_outside: list[int] = []
    extremes: list[float] = []
    everything = np.ones(units.n, dtype=np.intp)
    steps = searching.progress([*splits, None], total=len(splits) + 1, label="correcting for the choice")
    apparent = 0.0
    for split in steps:
        if split is None:
            outcomes = searching.search(everything)
            apparent = searching.score(outcomes, everything)
        else:
            outcomes = searching.search(units.expand(split[0]))
            scores.append(searching.score(outcomes, units.expand(split[1]).astype(np.intp)))
            n_outside.append(int(np.count_nonzero(split[1])))
        extremes += find_limits(outcomes)
    return summarise_scores(
        apparent,
        np.array(scores),
        np.array(n_outside, dtype=np.intp),
        units=units,
        limits=(min(extremes), max(extremes)),
        repeats=repeats,
        method=method,
        confidence=confidence,
    )
