"""What is chosen on the training utterances alone: a classifier's settings, its kind, its layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ser_store.heads.folds import split_by_speaker
from ser_store.heads.trials import Examples, Places, Trial, fit_and_score
from ser_store_h5.progress import Progress


@dataclass(frozen=True)
class Chosen:
    """The best of several trials on the training utterances of one fold.

    Attributes:
        trial: the first of those with the highest accuracy.
        accuracies: of each trial; none where there was one alone.
    """

    trial: Trial
    accuracies: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**self.trial.to_json(), "accuracies": list(self.accuracies)}


def choose_trials(
    heads: Sequence[Sequence[Trial]],
    examples: Examples,
    folds: Sequence[tuple[Places, Places]],
    *,
    seed: int,
    show: Progress,
    label: str,
) -> list[list[Chosen]]:
    """Return for each fold the trial that is chosen for each head, by its training utterances alone.

    Args:
        heads: the trials of each.
        examples: all utterances.
        folds: places of those that are fitted on and of those that are scored, which are not looked at.
        seed: what the folds within the training utterances are drawn by.
        show: shows progress.
        label: what the bar is called.

    Raises:
        CorpusError: if there are fewer than two training speakers, or a trial cannot be fitted.
    """
    open_heads = [place for place, trials in enumerate(heads) if len(trials) > 1]
    if not open_heads:
        return [[Chosen(trials[0]) for trials in heads] for _ in folds]
    inner = [_split(examples, train, seed) for train, _ in folds]
    work = [(fold, place, trial) for fold in range(len(folds)) for place in open_heads for trial in heads[place]]
    found: dict[tuple[int, int], list[float]] = {}
    for fold, place, trial in show(work, total=len(work), label=label):
        found.setdefault((fold, place), []).append(_score_trial(trial, examples, inner[fold]))
    return [
        [_choose(trials, found.get((fold, place))) for place, trials in enumerate(heads)] for fold in range(len(folds))
    ]


def _split(examples: Examples, train: Places, seed: int) -> list[tuple[Places, Places]]:
    speakers = None if examples.speakers is None else examples.speakers[train]
    pairs = split_by_speaker(examples.labels[train], speakers, seed=seed)
    return [(train[fitted_on], train[judged]) for fitted_on, judged in pairs]


def _score_trial(trial: Trial, examples: Examples, folds: Sequence[tuple[Places, Places]]) -> float:
    """Return the accuracy over all folds together."""
    hits = 0
    for fitted_on, judged in folds:
        said, _ = fit_and_score(trial, examples, fitted_on, judged)
        answers = said if said.ndim == 1 else said.argmax(axis=1)
        hits += int((answers == examples.labels[judged]).sum())
    return hits / sum(len(judged) for _, judged in folds)


def _choose(trials: Sequence[Trial], accuracies: Sequence[float] | None) -> Chosen:
    if accuracies is None:
        return Chosen(trials[0])
    return Chosen(trials[accuracies.index(max(accuracies))], tuple(accuracies))
