"""What is chosen on training utterances alone: a classifier's settings, its kind, its layer, the weights of heads.

Processes of a sweep load this and what it imports, before their first fit.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import SerstoreError, StoreError
from ser_store.heads.folds import split_by_speaker
from ser_store.heads.trials import Examples, Places, Trial, fit_and_score
from ser_store.voting.fitted import fit_weights
from ser_store_h5.progress import Progress, silent

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


@dataclass(frozen=True, eq=False)
class Fold:
    """What is fitted for one cell on one fold.

    Attributes:
        cell: its number.
        number: of the fold, from 0 on.
        n_folds: that the cell has.
        trials: the way to make the head, or several to choose from.
        examples: all utterances, with the cell's input alone.
        train: places of those that are fitted on.
        scored: places of those that are scored.
        seed: what tuning draws by.
    """

    cell: int
    number: int
    n_folds: int
    trials: Sequence[Trial]
    examples: Examples
    train: Places
    scored: Places
    seed: int


@dataclass(frozen=True, eq=False)
class FittedFold:
    """What came of it: the predicted classes of those scored, or why there are none; ``seconds`` of a core."""

    cell: int
    number: int
    n_train: int
    seconds: float
    predicted: NDArray[np.int16] | None
    problem: str = ""


def fit_fold(fold: Fold) -> FittedFold:
    """Choose a head of a fold, fit it, and have it score."""
    start, predicted, problem = time.process_time(), None, ""
    place = (fold.train, fold.scored)
    options: dict[str, Any] = {"is_pool": False, "seed": fold.seed, "show": silent, "label": ""}
    try:
        [[chosen]] = choose_heads([fold.trials], fold.examples, [place], **options)
        said, what = fit_and_score(chosen.trial, fold.examples, *place)
        predicted = said if what == "predicted" else said.argmax(axis=1).astype(np.int16)
    except SerstoreError as refused:
        problem = str(refused)
    return FittedFold(fold.cell, fold.number, len(fold.train), time.process_time() - start, predicted, problem)
