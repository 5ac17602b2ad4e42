"""What remains of an accuracy that was chosen for being the highest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.metrics import MetricError

# Cells of one block of in-bag scores: 64 MB of float32, whatever the number of candidates and repeats.
_BLOCK_CELLS = 2**24
_FEW_CANDIDATES = 64


@dataclass(frozen=True)
class Selection:
    """What choosing the best of many on the very utterances it is reported on amounts to.

    Attributes:
        apparent: accuracy of the chosen on the utterances it was chosen on, in 0..1; too high.
        corrected: the accuracy to expect on further utterances, in 0..1.
        repeats: how often the choice was repeated.
        method: ``bootstrap`` or ``halves``.
    """

    apparent: float
    corrected: float
    repeats: int
    method: str


def correct_selection_by_bootstrap(correct: NDArray[np.bool_], *, repeats: int = 1000, seed: int = 0) -> Selection:
    """The accuracy to expect from the best of several candidates: bootstrap bias correction of the selection.

    Every repeat draws ``n`` utterances with replacement, chooses the candidate with most right among them (of equals
    the first) and scores it on the utterances that were not drawn; the corrected accuracy is the mean of these
    scores. Repeats that draw every utterance leave none to score on and are left out.

    Source: I. Tsamardinos, E. Greasidou, G. Borboudakis, "Bootstrapping the out-of-sample predictions for efficient
    and accurate cross-validation", Machine Learning 107, 2018 (BBC-CV).

    Args:
        correct: ``(n_candidates, n)`` bool, which utterances each candidate predicts right.
        repeats: bootstrap samples.
        seed: of the samples; the same seed gives the same figures.

    Raises:
        MetricError: if there is no candidate, fewer than two utterances or no repeat.
    """
    right = np.asarray(correct)
    if right.ndim != 2 or right.shape[0] < 1 or right.dtype != np.bool_:
        raise MetricError(
            f"correct is of shape {right.shape} and type {right.dtype}: expected (n_candidates, n) bool, one candidate "
            "or more"
        )
    n_candidates, n = right.shape
    _check_repeats(n, repeats)
    # Few candidates are counted in whole numbers, before the linear algebra of floats would have woken its threads.
    weights = right.T.astype(np.int32 if n_candidates <= _FEW_CANDIDATES else np.float32)
    rng = np.random.default_rng(seed)
    per_block = max(1, min(repeats, _BLOCK_CELLS // max(n_candidates, n)))
    scores = [
        _score_out_of_bag(right, weights, _draw_bags(rng, min(per_block, repeats - start), n).astype(weights.dtype))
        for start in range(0, repeats, per_block)
    ]
    scored = np.concatenate(scores)
    if scored.size == 0:
        raise MetricError(f"all {repeats} samples drew all {n} utterances: expected more repeats or more utterances")
    apparent = int(right.sum(axis=1).max()) / n
    return Selection(apparent=apparent, corrected=float(scored.mean()), repeats=repeats, method="bootstrap")


def correct_selection_by_halves(
    choose: Callable[[NDArray[np.intp]], NDArray[np.bool_]], *, n_utterances: int, repeats: int = 100, seed: int = 0
) -> Selection:
    """The accuracy to expect from a search: repeated disjoint halves, choosing on one and reporting on the other.

    Every repeat splits the utterances at random into two halves (of an odd number the second is larger by one),
    searches each and scores what it chose on the other; the corrected accuracy is the mean over halves. Half the
    utterances choose worse than all of them, so the figure errs on the low side. For searches whose candidates are
    too many to keep; otherwise :func:`correct_selection_by_bootstrap`.

    Args:
        choose: the search. Takes the utterances to choose on, ``(h,)`` ascending indices, and returns which of all
            utterances the chosen predicts right, ``(n_utterances,)`` bool. Called ``2 * repeats + 1`` times.
        n_utterances: all utterances, at least 2.
        repeats: random splits.
        seed: of the splits; the same seed gives the same figures.

    Raises:
        MetricError: if there are fewer than two utterances or no repeat, or ``choose`` returns another shape.
    """
    _check_repeats(n_utterances, repeats)
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(repeats):
        order = rng.permutation(n_utterances)
        halves = np.sort(order[: n_utterances // 2]), np.sort(order[n_utterances // 2 :])
        for chosen_on, reported_on in (halves, halves[::-1]):
            scores.append(float(_call_search(choose, chosen_on, n_utterances)[reported_on].mean()))
    apparent = float(_call_search(choose, np.arange(n_utterances), n_utterances).mean())
    return Selection(apparent=apparent, corrected=float(np.mean(scores)), repeats=repeats, method="halves")


def _draw_bags(rng: np.random.Generator, repeats: int, n: int) -> NDArray[np.intp]:
    """How often each repeat draws each utterance, ``(repeats, n)``."""
    drawn = rng.integers(n, size=(repeats, n))
    drawn += np.arange(repeats)[:, None] * n
    counts = np.bincount(drawn.ravel(), minlength=repeats * n)
    return counts.reshape(repeats, n)


def _score_out_of_bag(right: NDArray[np.bool_], weights: NDArray[Any], bags: NDArray[Any]) -> NDArray[np.float64]:
    """Accuracy of each bag's best candidate on the utterances outside the bag, ``(repeats,)`` or fewer."""
    chosen = np.argmax(bags @ weights, axis=1)
    outside = bags == 0
    n_outside = outside.sum(axis=1)
    n_right = (right[chosen] & outside).sum(axis=1)
    scored = n_outside > 0
    accuracies: NDArray[np.float64] = n_right[scored] / n_outside[scored]
    return accuracies


def _call_search(
    choose: Callable[[NDArray[np.intp]], NDArray[np.bool_]], chosen_on: NDArray[np.intp], n: int
) -> NDArray[np.bool_]:
    right = np.asarray(choose(chosen_on))
    if right.shape != (n,) or right.dtype != np.bool_:
        raise MetricError(f"the search returned {right.dtype} of shape {right.shape}: expected bool of shape ({n},)")
    return right


def _check_repeats(n: int, repeats: int) -> None:
    if n < 2:
        raise MetricError(f"there are {n} utterances to choose and report on: expected at least 2")
    if repeats < 1:
        raise MetricError(f"repeats is {repeats}: expected at least 1")
