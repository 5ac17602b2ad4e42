"""A choice that is repeated on some utterances and scored on others: the parts of every correction of a selection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError, UncorrectableError
from ser_store.metrics.class_indices import check_truth
from ser_store.statistics.bootstrap import CONFIDENCE, compute_t_factor
from ser_store.statistics.intervals import wilson_interval
from ser_store.statistics.resampling import Units, find_units, number_groups

# Equal scores that were summed in another order must stay equal: of equals the first is chosen.
_DECIMALS = 10
_ROUNDING = 10.0**-_DECIMALS

# The fewest units of which a corrected figure is given. Of fewer, more than 1% of the intervals span 0 to 1 and
# say nothing: 2% for 6 speakers of unequal size and skill, 13% for 5, 82% for 2. From these on the figure is unbiased,
# or up to 3 points too low where candidates differ, and its interval holds the truth in 95 to 100%
# (``benchmarks/simulate_few_speakers.py``). A single utterance says less than a speaker does.
FEWEST_GROUPS = 8
FEWEST_UTTERANCES = 10
# Standard errors by which chance lifts a mean of samples above the apparent figure.
_CHANCE = 3

# Takes how often each sample draws each unit, ``(repeats, n_units)``; gives the scores of what each sample chooses on
# the units that it does not draw, and the number of these, both for the samples that leave any.
Scorer = Callable[[NDArray[np.intp]], tuple[NDArray[np.float64], NDArray[np.intp]]]


# Takes how often each sample holds each utterance, ``(repeats, n)``, and gives what each utterance weighs in the
# sample's score, ``(repeats, n)``, 0 where it is not held. The score is the mean of outcomes by these weights.
Weighing = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class SelectionBias:
    """The accuracy of the best of many, as found and corrected for having been chosen on the same utterances.

    Attributes:
        apparent: accuracy of the chosen on the utterances it was chosen on, in 0..1; too high. Here and below another
            score, where the utterances weigh otherwise or the outcomes are not right or wrong.
        corrected: the accuracy to expect on further utterances, in 0..1; at most the apparent one.
        repeats: how often the choice was repeated.
        error: standard error of the corrected figure by the number of repeats, where these ended by it; else None.
        method: ``bootstrap`` or ``halves``, with groups ``bootstrap by speaker`` or ``halves by speaker``.
        low: lower bound of the corrected accuracy, with a confidence of 95%; None where nothing was repeated.
        high: its upper bound.
        caution: why the figures can be trusted less than they say; None if there is no known reason.
    """

    apparent: float
    corrected: float
    repeats: int
    method: str
    low: float | None = None
    high: float | None = None
    caution: str | None = None
    error: float | None = None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Of the corrected accuracy; None where nothing was repeated."""
        return None if self.low is None or self.high is None else (self.low, self.high)

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
            "interval": None if self.bounds is None else list(self.bounds),
            "confidence": CONFIDENCE,
            "caution": self.caution,
            **({} if self.error is None else {"error": self.error}),
        }

    def describe(self) -> str:
        """Return by what method it was corrected, how often the choice was repeated, and what is left to chance."""
        error = "" if self.error is None else f", ± {self.error * 100:.2f} points by their number"
        return f"{self.method}, {self.repeats} repeats{error}"


def find_chosen_units(n: int, groups: ArrayLike | Sequence[Any] | None, group_name: str) -> Units:
    """Return the units of ``n`` utterances to choose and report on, if there are enough of them.

    Raises:
        UncorrectableError: if there are fewer than ``FEWEST_UTTERANCES``, or ``FEWEST_GROUPS``.
        MetricError: if the groups do not fit the utterances.
    """
    count, name, fewest = n, "utterance", FEWEST_UTTERANCES
    if groups is not None and n >= fewest:
        count, name, fewest = len(number_groups(groups, n=n)[1]), group_name, FEWEST_GROUPS
    if count < fewest:
        verb = " is" if count == 1 else "s are"
        raise UncorrectableError(
            f"{count} {name}{verb} too few to tell what the choice costs: expected {fewest} or more, or another part "
            "to choose on"
        )
    return find_units(n, groups, group_name=group_name)


def make_scorer(outcomes: NDArray[Any], units: Units) -> Scorer:
    """Return the function that chooses and scores by the plain mean of outcomes, ``(n_candidates, n)``."""
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
    """Return the function that chooses and scores by a weighted mean of outcomes, ``(n_candidates, n)``."""
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
) -> SelectionBias:
    """Return the corrected figure with its interval.

    A mean above the apparent figure is chance as far as it lies within a few standard errors of it, and is held there.
    What lies further above comes of units that differ in size and difficulty: the large and difficult ones weigh less
    among samples than among all utterances, and hide what the choice costs.

    Args:
        apparent: score of the chosen on what it was chosen on.
        scores: ``(r,)``, of what each repeat chose on the units it did not choose on.
        n_outside: ``(r,)``, the number of these units.
        limits: the lowest and the highest possible score.

    Raises:
        UncorrectableError: if the mean lies above the apparent figure by more than chance.
        MetricError: if there are no scores.
    """
    if not scores.size:
        raise MetricError(f"all {repeats} samples drew all {units.count} units: expected more repeats or more units")
    mean, deviation = float(scores.mean()), float(scores.std(ddof=1)) if scores.size > 1 else 0.0
    if mean > apparent + _CHANCE * deviation / scores.size**0.5 + _ROUNDING and scores.size > 1:
        raise UncorrectableError(
            f"the {units.name or 'utterance'}s that were left out did better than all together, {mean:.4f} against "
            f"{apparent:.4f}: too unlike in size and difficulty to tell what the choice costs; choose on another part"
        )
    corrected = min(mean, apparent)
    low = high = None
    if scores.size > 1:
        share = float(n_outside.mean()) / units.count
        spread = deviation * (share / (1 - share)) ** 0.5
        half_width = compute_t_factor(units.count) * spread
        low, high = max(limits[0], corrected - half_width), min(limits[1], corrected + half_width)
        if spread < _ROUNDING and limits == (0.0, 1.0):
            low, high = wilson_interval(round(corrected * units.n), units.n)
    return SelectionBias(
        apparent=apparent,
        corrected=corrected,
        repeats=repeats,
        method=method if units.name is None else f"{method} by {units.name}",
        low=low,
        high=high,
    )


def find_limits(outcomes: NDArray[Any]) -> tuple[float, float]:
    """Return the lowest and the highest score that a mean of such outcomes can be."""
    return (0.0, 1.0) if outcomes.dtype == np.bool_ else (float(outcomes.min()), float(outcomes.max()))


def is_outcome(outcomes: NDArray[Any]) -> bool:
    """Return whether these are right and wrong, or finite numbers; whole numbers are more likely class indices."""
    return outcomes.dtype == np.bool_ or (
        np.issubdtype(outcomes.dtype, np.floating) and bool(np.isfinite(outcomes).all())
    )


def weigh_alike(counts: NDArray[Any]) -> NDArray[Any]:
    """Weigh every utterance the same: the score of which utterances are right is the accuracy.

    Args:
        counts: ``(repeats, n)``, how often each sample holds each utterance.

    >>> weigh_alike(np.array([[2, 0, 1]])).tolist()
    [[2, 0, 1]]
    """
    return counts


def score_outcomes(outcomes: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return the means of outcomes by weights, over the last axis of both; of right and wrong, in 0..1."""
    means = np.asarray(np.einsum("...i,...i->...", outcomes, weights) / weights.sum(axis=-1))
    return np.clip(means, 0, 1) if outcomes.dtype == np.bool_ else means


def weigh_classes_alike(truth: ArrayLike) -> Weighing:
    """Weigh every class that a sample holds the same: the score of which are right is the balanced accuracy.

    Args:
        truth: ``(n,)`` class indices.

    Raises:
        MetricError: if these are no class indices.

    >>> weigh_classes_alike([0, 0, 0, 1])(np.array([[1, 1, 0, 1]])).tolist()
    [[0.5, 0.5, 0.0, 1.0]]
    """
    classes, numbers = np.unique(check_truth(truth), return_inverse=True)
    is_of_class = (numbers[:, None] == np.arange(len(classes))).astype(np.float64)

    def weigh(counts: NDArray[Any]) -> NDArray[np.float64]:
        supports = counts @ is_of_class
        shares = np.zeros(supports.shape)
        np.divide(1.0, supports, out=shares, where=supports > 0)
        return np.asarray(counts * shares[:, numbers])

    return weigh
