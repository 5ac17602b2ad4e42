"""What is chosen on training utterances alone: a classifier's settings, its kind, its layer, the weights of heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import StoreError
from ser_store.heads.folds import split_by_speaker
from ser_store.heads.trials import Examples, Places, Trial, fit_and_score
from ser_store_h5.progress import Progress

# A head of less weight is left out of a pool.
_LEAST_WEIGHT = 1e-4


@dataclass(frozen=True)
class Chosen:
    """A head of one fold, as it was chosen on the training utterances of that fold.

    Attributes:
        trial: the way to make it: of several the first of those with the highest accuracy.
        weight: by which what it says is multiplied, before all is summed.
        accuracies: over the training speakers, of each trial that it was chosen among; none where nothing was.
    """

    trial: Trial
    weight: float = 1.0
    accuracies: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**self.trial.to_json(), "weight": self.weight, "accuracies": list(self.accuracies)}


def choose_heads(
    heads: Sequence[Sequence[Trial]],
    examples: Examples,
    folds: Sequence[tuple[Places, Places]],
    *,
    is_pool: bool,
    seed: int,
    show: Progress,
    label: str,
) -> list[list[Chosen]]:
    """Return the heads of each fold, which are chosen by its training utterances alone.

    Args:
        heads: the trials of each.
        examples: all utterances.
        folds: places of those that are fitted on and of those that are scored, which are not looked at.
        is_pool: weigh all trials, and choose none.
        seed: what the folds within the training utterances are drawn by.
        show: shows progress.
        label: what the bar is called.

    Raises:
        CorpusError: if there are fewer than two training speakers, or a trial cannot be fitted.
        StoreError: if a trial of a pool predicts classes alone.
    """
    trials = [trial for own in heads for trial in own if is_pool or len(own) > 1]
    inner = [_split(examples, train, seed) if trials else [] for train, _ in folds]
    work = [(fold, trial) for fold in range(len(folds)) for trial in trials]
    said: list[list[NDArray[Any]]] = [[] for _ in folds]
    for fold, trial in show(work, total=len(work), label=label) if work else ():
        said[fold].append(np.concatenate([fit_and_score(trial, examples, *pair)[0] for pair in inner[fold]]))
    labels = [examples.labels[np.concatenate([judged for _, judged in pairs])] if pairs else None for pairs in inner]
    if is_pool:
        return [_weigh(trials, *found) for found in zip(said, labels, strict=True)]
    return [_choose_each(heads, *found) for found in zip(said, labels, strict=True)]


def _split(examples: Examples, train: Places, seed: int) -> list[tuple[Places, Places]]:
    speakers = None if examples.speakers is None else examples.speakers[train]
    pairs = split_by_speaker(examples.labels[train], speakers, seed=seed)
    return [(train[fitted_on], train[judged]) for fitted_on, judged in pairs]


def _measure(said: NDArray[Any], labels: NDArray[Any]) -> float:
    answers = said if said.ndim == 1 else said.argmax(axis=1)
    return float((answers == labels).mean())


def _choose_each(heads: Sequence[Sequence[Trial]], said: Sequence[NDArray[Any]], labels: Any) -> list[Chosen]:
    left, chosen = iter(said), []
    for trials in heads:
        accuracies = [_measure(next(left), labels) for _ in trials] if len(trials) > 1 else []
        best = accuracies.index(max(accuracies)) if accuracies else 0
        chosen.append(Chosen(trials[best], 1 / len(heads), tuple(accuracies)))
    return chosen


def _weigh(trials: Sequence[Trial], said: Sequence[NDArray[Any]], labels: Any) -> list[Chosen]:
    for trial, own in zip(trials, said, strict=True):
        if own.ndim == 1:
            raise StoreError(f"`combine` of {trial.kind}, which predicts classes alone: expected scores of each head")
    weights = fit_weights(np.stack(said).astype(np.float64), labels)
    kept = weights > _LEAST_WEIGHT
    kept[weights.argmax()] = True  # where all are worse than a guess, one stays, of next to no weight
    return [
        Chosen(trial, float(weight), (_measure(own, labels),))
        for trial, weight, own, stays in zip(trials, weights, said, kept, strict=True)
        if stays
    ]


def fit_weights(scores: NDArray[np.float64], labels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the weights, none below 0, by which the softmax of the weighted sum of scores has the least log-loss.

    What is stacked by Breiman (Stacked regressions, Machine Learning 24, 1996) with weights that are not negative, here
    for classes; a single head's weight is its inverse temperature.

    Args:
        scores: ``(m, n, c)`` of each head, of utterances that it was not fitted on.
        labels: ``(n,)`` class indices.

    Returns:
        ``(m,)``.

    >>> told = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]))
    >>> weights = fit_weights(np.stack([told, -told]), np.array([0, 0, 1, 1]))
    >>> bool(weights[0] > 0.5), float(weights[1])
    (True, 0.0)
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    rows = np.arange(len(labels))

    def compute_loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total = np.tensordot(weights, scores, 1)
        total -= total.max(axis=1, keepdims=True)
        probabilities = np.exp(total)
        sums = probabilities.sum(axis=1, keepdims=True)
        loss = float((np.log(sums[:, 0]) - total[rows, labels]).mean())
        probabilities /= sums
        probabilities[rows, labels] -= 1
        return loss, np.tensordot(scores, probabilities, ([1, 2], [0, 1])) / len(labels)

    start = np.full(len(scores), 1 / len(scores))
    with threadpool_limits(1):
        found = minimize(compute_loss, start, jac=True, bounds=[(0, None)] * len(scores), method="L-BFGS-B")
    weights: NDArray[np.float64] = found.x
    return weights
