"""A choice repeated on some utterances and scored on others: what all corrections of a selection are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.metrics.class_indices import MetricError
from ser_store.statistics.bootstrap import check_confidence, find_reach
from ser_store.statistics.intervals import wilson_interval
from ser_store.statistics.resampling import Units, check_repeats, find_units
from ser_store.statistics.weighing import Weighing, score_outcomes

# Equal scores that were summed in another order must stay equal: of equals the first is chosen.
_DECIMALS = 10

# Coverage of nominal 95% in simulations: 24 speakers 96%, 10 98%, 5 96%, 3 95%, 2 86%.
FEW_GROUPS = 3

# Takes how often each sample draws each unit, ``(repeats, n_units)``; gives the scores of what each sample chooses on
# the units that it does not draw, and the number of these, both for the samples that leave any.
Scorer = Callable[[NDArray[np.intp]], tuple[NDArray[np.float64], NDArray[np.intp]]]


@dataclass(frozen=True)
class Selection:
    """What choosing the best of many on the very utterances it is reported on amounts to.

    Attributes:
        apparent: accuracy of the chosen on the utterances it was chosen on, in 0..1; too high. Here and below another
            score, where the utterances weigh otherwise or the outcomes are not right or wrong.
        corrected: the accuracy to expect on further utterances, in 0..1.
        repeats: how often the choice was repeated.
        method: ``bootstrap`` or ``halves``, with groups ``bootstrap by speaker`` or ``halves by speaker``.
        low: lower bound of the corrected accuracy; None where nothing was repeated.
        high: its upper bound.
        confidence: the share of such intervals that hold the true accuracy of what was chosen.
        caution: why the figures can be trusted less than they say; None if there is no known reason.
    """

    apparent: float
    corrected: float
    repeats: int
    method: str
    low: float | None = None
    high: float | None = None
    confidence: float = 0.95
    caution: str | None = None

    @property
    def optimism(self) -> float:
        """By how much the apparent figure is too high: ``apparent - corrected``."""
        return self.apparent - self.corrected

    def to_json(self) -> dict[str, Any]:
        return {
            "apparent": self.apparent,
            "corrected": self.corrected,
            "repeats": self.repeats,
            "method": self.method,
            "optimism": self.optimism,
            "interval": None if self.low is None else [self.low, self.high],
            "confidence": self.confidence,
            "caution": self.caution,
        }


def find_chosen_units(n: int, groups: ArrayLike | Sequence[Any] | None, group_name: str) -> Units:
    """The units of ``n`` utterances to choose and report on.

    Raises:
        MetricError: if there are fewer than two, or the groups do not fit the utterances.
    """
    if n < 2:
        raise MetricError(f"there are {n} utterances to choose and report on: expected at least 2")
    return find_units(n, groups, group_name=group_name)


def make_scorer(outcomes: NDArray[Any], units: Units) -> Scorer:
    """Choice and score by the plain mean of outcomes, ``(n_candidates, n)``."""
    by_unit: NDArray[Any] = outcomes
    if units.numbers is not None:
        by_unit = units.sum(outcomes.T).T
    sizes = None if units.numbers is None else np.bincount(units.numbers)
    # Units that are the same for all candidates cannot decide between them.
    deciding = np.flatnonzero((by_unit != by_unit[0]).any(axis=0))
    # Single precision counts up to 2**24 exactly.
    counted = outcomes.dtype == np.bool_ and units.n < 2**24
    kind: Any = np.float32 if counted else np.float64
    weights = by_unit[:, deciding].T.astype(kind)

    def score(counts: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        sums = counts[:, deciding].astype(kind) @ weights
        chosen = np.argmax(sums if counted else sums.round(_DECIMALS), axis=1)
        outside = counts == 0
        totals = (by_unit[chosen] * outside).sum(axis=1)
        n_outside = np.count_nonzero(outside, axis=1)
        scored = n_outside > 0
        n_utterances = n_outside if sizes is None else outside @ sizes
        return totals[scored] / n_utterances[scored], n_outside[scored]

    return score


def make_weighed_scorer(outcomes: NDArray[Any], units: Units, weigh: Weighing) -> Scorer:
    """Choice and score by a weighted mean of outcomes, ``(n_candidates, n)``."""
    deciding = np.flatnonzero((outcomes != outcomes[0]).any(axis=0))
    right = outcomes[:, deciding].T.astype(np.float64)

    def score(counts: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        weights: NDArray[Any] = weigh(units.expand(counts))[:, deciding]
        chosen = np.argmax((weights @ right).round(_DECIMALS), axis=1)
        outside = counts == 0
        n_outside = np.count_nonzero(outside, axis=1)
        scored = n_outside > 0
        weights_outside = weigh(units.expand(outside[scored]).astype(np.intp))
        return score_outcomes(outcomes[chosen[scored]], weights_outside), n_outside[scored]

    return score


def summarise_scores(
    apparent: float,
    scores: NDArray[np.float64],
    n_outside: NDArray[np.intp],
    *,
    units: Units,
    limits: tuple[float, float],
    repeats: int,
    method: str,
    confidence: float,
) -> Selection:
    """The corrected figure with its interval.

    Args:
        apparent: score of the chosen on what it was chosen on.
        scores: ``(r,)``, of what each repeat chose on the units it did not choose on.
        n_outside: ``(r,)``, the number of these units.
        limits: the lowest and the highest possible score.
    """
    if not scores.size:
        raise MetricError(f"all {repeats} samples drew all {units.count} units: expected more repeats or more units")
    corrected = float(scores.mean())
    low = high = caution = None
    if scores.size > 1:
        share = float(n_outside.mean()) / units.count
        spread = float(scores.std(ddof=1)) * (share / (1 - share)) ** 0.5
        half_width = find_reach(units.count, confidence=confidence) * spread
        low, high = max(limits[0], corrected - half_width), min(limits[1], corrected + half_width)
        if spread == 0 and limits == (0.0, 1.0) and corrected in limits:
            low, high = wilson_interval(round(corrected * units.n), units.n, confidence=confidence)
    if units.name is not None and units.count < FEW_GROUPS:
        caution = f"{units.count} {units.name}s are few: the interval is too narrow"
    return Selection(
        apparent=apparent,
        corrected=corrected,
        repeats=repeats,
        method=method if units.name is None else f"{method} by {units.name}",
        low=low,
        high=high,
        confidence=confidence,
        caution=caution,
    )


def find_limits(outcomes: NDArray[Any]) -> tuple[float, float]:
    """The lowest and the highest score that a mean of such outcomes can be."""
    return (0.0, 1.0) if outcomes.dtype == np.bool_ else (float(outcomes.min()), float(outcomes.max()))


def is_outcome(outcomes: NDArray[Any]) -> bool:
    """Whether these are right and wrong, or finite numbers; whole numbers are more likely class indices."""
    return outcomes.dtype == np.bool_ or (
        np.issubdtype(outcomes.dtype, np.floating) and bool(np.isfinite(outcomes).all())
    )


def check_options(repeats: int, confidence: float) -> None:
    """Refuse impossible options.

    Raises:
        MetricError: if there is no repeat, or the confidence leaves 0..1.
    """
    check_repeats(repeats)
    check_confidence(confidence)
