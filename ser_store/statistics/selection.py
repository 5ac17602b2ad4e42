"""Corrections of an accuracy for its having been chosen as the highest.

Whatever is chosen on the utterances it is reported on, a step, an ensemble, a threshold, was also chosen for its luck
on them. All corrections here repeat the choice on some utterances and score what it chose on others:

- :func:`correct_selection_by_bootstrap`, where the outcomes of all candidates fit in memory: the fastest;
- :func:`correct_choices`, where one pass over the candidates chooses in all samples at once;
- :func:`correct_search`, with the real search run every time, on samples as well, or on halves.

All refuse, by an :class:`UncorrectableError`, to give a figure of fewer than 8 groups or 10 utterances
(``benchmarks/simulate_few_speakers.py``), and one that lies above the apparent figure.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.common.checks import check_choice
from ser_store.errors import MetricError
from ser_store.statistics.repeated_choice import (
    SelectionBias,
    Weighing,
    find_chosen_units,
    find_limits,
    is_outcome,
    make_scorer,
    make_weighed_scorer,
    score_outcomes,
    summarise_scores,
    weigh_alike,
)
from ser_store.statistics.resampling import check_repeats, iter_counts
from ser_store_h5.progress import Progress, silent

BOOTSTRAP_REPEATS = 1000
# Of a search, by the method.
SEARCH_REPEATS = {"bootstrap": 200, "halves": 100}
# Repeats that end by their error are so many at least.
_LEAST_REPEATS = 20

Groups = ArrayLike | Sequence[Any] | None
# Takes the utterances to choose on, ascending, and gives the outcomes of the chosen on all utterances.
Choose = Callable[[NDArray[np.intp]], NDArray[Any]]
# The same of many samples at once, see ``correct_choices``.
ChooseAll = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[Any]]
Method = Literal["bootstrap", "halves"]
# How often each unit is chosen on, ``(n_units,)``, and which units are scored on, ``(n_units,)``.
Split = tuple[NDArray[np.intp], NDArray[np.bool_]]


def correct_selection_by_bootstrap(
    correct: ArrayLike,
    *,
    groups: Groups = None,
    group_name: str = "speaker",
    weigh: Weighing = weigh_alike,
    repeats: int = BOOTSTRAP_REPEATS,
    seed: int = 0,
) -> SelectionBias:
    """Return the accuracy to expect from the best of several candidates: bootstrap bias correction of the selection.

    Every repeat draws ``n`` utterances with replacement, chooses the candidate with most right among them (of equals
    the first) and scores it on the utterances that were not drawn; the corrected accuracy is the mean of these
    scores. Repeats that draw every utterance leave none to score on and are left out. With groups, whole groups are
    drawn: the figure is then that on utterances of further speakers.

    A sample holds 63.2% of the utterances, and choosing on fewer chooses worse: the figure is unbiased for candidates
    that are equally good, and errs on the low side where they differ (by 0.3 points for 26 candidates of 80 to 93% on
    288 utterances, by 0.6 on 60; by 0.3 for the ensembles of six members; ``benchmarks/simulate_selection.py``).

    The interval is ``corrected ± t s sqrt(m / (n - m))`` with the standard deviation ``s`` of the scores, the mean
    number ``m`` of utterances, or groups, that they rest on, and Student's t. Scores on ``m`` out of ``n`` spread that
    much more than the score on ``n`` does (J. Shao, C. F. J. Wu, "A general theory for jackknife variance estimation",
    Annals of Statistics 17, 1989); the plain percentiles of Tsamardinos et al. are a third wider, and cover more than
    they say. In simulations an interval of 95% held the true accuracy of the chosen in 95 to 100%; where speakers
    differ and utterances are drawn all the same, in 82%, the figure being 1.7 points too high: give ``groups``.

    Source: I. Tsamardinos, E. Greasidou, G. Borboudakis, "Bootstrapping the out-of-sample predictions for efficient
    and accurate cross-validation", Machine Learning 107, 2018 (BBC-CV).

    Args:
        correct: ``(n_candidates, n)`` bool, which utterances each candidate predicts right: the ensembles of a search,
            the steps of a run. Or float, such as minus the loss, of which the highest mean is chosen.
        groups: ``(n,)``, the speaker of every utterance, or another group; numbers, strings or anything hashable.
        group_name: what the groups are, for ``method``.
        weigh: what is chosen by, and reported: :func:`~ser_store.statistics.repeated_choice.weigh_alike` for accuracy,
            ``weigh_classes_alike(truth)`` for balanced accuracy over the classes that a sample holds.
        repeats: bootstrap samples.
        seed: of the samples; the same seed gives the same figures.

    Raises:
        UncorrectableError: if there are too few utterances or groups, or these differ too much.
        MetricError: if there is no candidate or no repeat.

    >>> right = np.random.default_rng(0).random((20, 100)) < 0.7
    >>> found = correct_selection_by_bootstrap(right, repeats=200)
    >>> found.corrected < found.apparent
    True
    """
    outcomes = np.asarray(correct)
    if outcomes.ndim != 2 or outcomes.shape[0] < 1 or not is_outcome(outcomes):
        raise MetricError(
            f"correct is of shape {outcomes.shape} and type {outcomes.dtype}: expected (n_candidates, n) bool, or "
            "finite float, one candidate or more"
        )
    check_repeats(repeats)
    units = find_chosen_units(outcomes.shape[1], groups, group_name)
    score = make_scorer(outcomes, units) if weigh is weigh_alike else make_weighed_scorer(outcomes, units, weigh)
    blocks = iter_counts(seed, repeats=repeats, n_units=units.count, width=max(outcomes.shape))
    parts = [score(counts) for counts in blocks]
    everything = weigh(np.ones((1, units.n), dtype=np.intp))
    return summarise_scores(
        float(score_outcomes(outcomes, everything).max()),
        np.concatenate([scores for scores, _ in parts]),
        np.concatenate([n_outside for _, n_outside in parts]),
        units=units,
        limits=find_limits(outcomes),
        repeats=repeats,
        method="bootstrap",
    )


def correct_choices(
    choose: ChooseAll,
    best: ArrayLike,
    *,
    groups: Groups = None,
    group_name: str = "speaker",
    repeats: int = SEARCH_REPEATS["bootstrap"],
    seed: int = 0,
) -> SelectionBias:
    """Return the figure of :func:`correct_selection_by_bootstrap` where what all samples choose is found at once.

    With it comes its standard error by the number of samples.

    Args:
        choose: takes how often each sample holds each unit, ``(s, n_units)`` int, and the unit of every utterance,
            ``(n,)`` int; returns which utterances are right of what each sample chooses, ``(s, n)`` bool.
        best: ``(n,)`` bool, the same of what all utterances choose.
        groups, group_name, repeats, seed: as for :func:`correct_selection_by_bootstrap`.

    Raises:
        UncorrectableError, MetricError: as :func:`correct_search`.

    >>> right = np.random.default_rng(0).random((20, 100)) < 0.7
    >>> def choose(samples, units):
    ...     return right[(samples[:, units] @ right.T).argmax(axis=1)]
    >>> found = correct_choices(choose, right[right.sum(axis=1).argmax()], repeats=200)
    >>> replace(found, error=None) == correct_selection_by_bootstrap(right, repeats=200)
    True
    """
    check_repeats(repeats)
    right = np.asarray(best)
    units = find_chosen_units(right.size, groups, group_name)
    splits = list(_iter_samples(units.count, repeats, seed))
    if not splits:
        raise MetricError(f"all {repeats} samples drew all {units.count} units: expected more repeats or more units")
    samples, outside = (np.array(parts) for parts in zip(*splits, strict=True))
    outcomes = np.asarray(choose(samples, units.expand(np.arange(units.count))))
    if outcomes.shape != (shape := (len(samples), units.n)) or outcomes.dtype != np.bool_:
        raise MetricError(f"chosen are {outcomes.dtype} of shape {outcomes.shape}: expected bool of shape {shape}")
    scores = score_outcomes(outcomes, units.expand(outside).astype(np.intp))
    found = summarise_scores(
        float(right.mean()),
        scores,
        np.count_nonzero(outside, axis=1),
        units=units,
        limits=(0.0, 1.0),
        repeats=repeats,
        method="bootstrap",
    )
    return replace(found, error=float(np.std(scores, ddof=1)) / len(scores) ** 0.5 if len(scores) > 1 else None)


def correct_search(
    choose: Choose,
    *,
    n_utterances: int,
    method: Method = "bootstrap",
    groups: Groups = None,
    group_name: str = "speaker",
    weigh: Weighing = weigh_alike,
    repeats: int | None = None,
    seed: int = 0,
    error: float | None = None,
    progress: Progress = silent,
) -> SelectionBias:
    """Return the accuracy to expect from a search, which is run again on some of the utterances and scored on others.

    The real search runs every time, so that everything it does is corrected for: also how it leaves members out by
    their accuracy, or sets a threshold::

        def choose(rows):
            accuracies = right[:, rows].mean(axis=1)
            kept = np.flatnonzero(accuracies >= 0.9) if (accuracies >= 0.9).any() else [accuracies.argmax()]
            found = search_ensembles(predictions[kept][:, rows], truth[rows], k=min(3, len(kept)), n_classes=8, top=1)
            members = kept[list(found.results[0].members)]
            return hard_vote(predictions[members], n_classes=8).predicted == truth

    By ``bootstrap`` it runs on the samples of :func:`correct_selection_by_bootstrap`, and must take an utterance as
    often as it is given. By ``halves`` no utterance comes twice: every repeat splits the utterances, or the groups, at
    random into two halves (of an odd number the second is larger by one), searches each and scores what it chose on the
    other; the corrected accuracy is the mean over halves. Half the utterances choose worse than all of them, so that
    the figure errs on the low side where candidates differ, more than the bootstrap does (by 0.5 points for 26
    candidates of 80 to 93% on 288 utterances, by 1.4 on 60). The interval is that of
    :func:`correct_selection_by_bootstrap`.

    Args:
        choose: the search. Takes the utterances to choose on, ``(r,)`` ascending, those drawn twice twice, and returns
            which of all utterances the chosen predicts right, ``(n_utterances,)`` bool, or float scores of them, of
            which the higher is the better. Called for every sample or half, last with every utterance once.
        n_utterances: all utterances.
        method: ``bootstrap`` or ``halves``.
        groups, group_name, weigh, seed: as for :func:`correct_selection_by_bootstrap`.
        repeats: samples, or random splits into halves. Default: 200 samples, or 100 splits.
        error: end the repeats, after 20 at least, as soon as the standard error of the figure by their number is no
            more than this. Default: all repeats.
        progress: shows how many searches are done.

    Raises:
        UncorrectableError: if there are too few utterances or groups, or these differ too much.
        MetricError: if there is no repeat, or ``choose`` returns another shape.
        UnknownNameError: if there is no such method.

    >>> right = np.random.default_rng(0).random((20, 100)) < 0.7
    >>> def choose(rows):
    ...     return right[right[:, rows].mean(axis=1).argmax()]
    >>> found = correct_search(choose, n_utterances=100, method="halves", repeats=20)
    >>> found.corrected < found.apparent
    True
    """
    check_choice("method", method, SEARCH_REPEATS)
    repeats = SEARCH_REPEATS[method] if repeats is None else repeats
    check_repeats(repeats)
    units = find_chosen_units(n_utterances, groups, group_name)
    splits = list((_iter_samples if method == "bootstrap" else _iter_halves)(units.count, repeats, seed))
    scores: list[float] = []
    n_outside: list[int] = []
    extremes: list[float] = []
    reached = None

    def search(chosen_on: NDArray[np.intp], is_scored: NDArray[np.bool_]) -> float:
        outcomes = _search(choose, units.expand(chosen_on))
        extremes.extend(find_limits(outcomes))
        return float(score_outcomes(outcomes, weigh(units.expand(is_scored).astype(np.intp)[None])[0]))

    # The last one is the search that is corrected, which comes after the repeats however they end.
    for split in progress([*splits, None], total=len(splits) + 1, label="correcting for the choice"):
        if split is None:
            break
        scores.append(search(*split))
        n_outside.append(int(np.count_nonzero(split[1])))
        if error is not None and len(scores) >= _LEAST_REPEATS:
            reached = float(np.std(scores, ddof=1)) / len(scores) ** 0.5
            if reached <= error:
                break
    everything = np.ones(units.count, dtype=np.intp)
    apparent = search(everything, everything > 0)
    found = summarise_scores(
        apparent,
        np.array(scores),
        np.array(n_outside, dtype=np.intp),
        units=units,
        limits=(min(extremes), max(extremes)),
        repeats=repeats if error is None else len(scores),
        method=method,
    )
    return replace(found, error=reached)


def _iter_samples(n_units: int, repeats: int, seed: int) -> Iterator[Split]:
    """Yield bootstrap samples, and the units that they do not draw, where there are any."""
    for block in iter_counts(seed, repeats=repeats, n_units=n_units):
        yield from ((sample, sample == 0) for sample in block if (sample == 0).any())


def _iter_halves(n_units: int, repeats: int, seed: int) -> Iterator[Split]:
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        is_first = rng.permutation(n_units) < n_units // 2
        yield is_first.astype(np.intp), ~is_first
        yield (~is_first).astype(np.intp), is_first


def _search(choose: Choose, counts: NDArray[np.intp]) -> NDArray[Any]:
    """Return outcomes ``(n,)`` of what is chosen on utterances that are counted so often, ``(n,)``."""
    n = len(counts)
    outcomes = np.asarray(choose(np.repeat(np.arange(n), counts)))
    if outcomes.shape != (n,) or not is_outcome(outcomes):
        raise MetricError(
            f"the search returned {outcomes.dtype} of shape {outcomes.shape}: expected bool, or finite float, of "
            f"shape ({n},)"
        )
    return outcomes
