"""Voting ensembles from the store: one that is named, or the best of all there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from ser_store.errors import EnsembleError
from ser_store.evaluation import choose_members, name_part
from ser_store.intervals import wilson_interval
from ser_store.metrics import compute_accuracy, softmax
from ser_store.progress import Progress, silent
from ser_store.selection import Selection, correct_selection_by_bootstrap, correct_selection_by_halves
from ser_store.voting.outcomes import compute_outcomes
from ser_store.voting.problem import pose_problem
from ser_store.voting.search import EnsembleScore, SearchResult, search_ensembles
from ser_store_h5.store import Store

# Outcomes of so many ensembles and utterances are kept at once, at a byte each, to correct for the choice among them.
MAX_OUTCOMES = 20_000_000
BOOTSTRAP_REPEATS = 1000
HALVES_REPEATS = 10


@dataclass(frozen=True)
class RankedEnsemble:
    """An ensemble of named members; the fields of :class:`EnsembleScore`."""

    members: tuple[str, ...]
    score: EnsembleScore

    def to_json(self) -> dict[str, Any]:
        score = self.score
        return {
            "members": list(self.members),
            "correct": score.correct,
            "n": score.n,
            "accuracy": score.accuracy,
            "balanced_accuracy": score.balanced_accuracy,
            "ci95": list(wilson_interval(score.correct, score.n)),
            "ties": score.ties,
        }


@dataclass(frozen=True)
class VoteReport:
    """The outcome of a vote.

    Attributes:
        on: the part of the split.
        candidates: names of the members that were combined.
        search: what the search found; members by their place among the candidates.
        ensembles: the best, best first.
        best_single: the most accurate candidate alone, and its accuracy.
        selection: the best ensemble's accuracy as found, and corrected for having been chosen on these utterances.
    """

    on: str
    candidates: tuple[str, ...]
    search: SearchResult
    ensembles: tuple[RankedEnsemble, ...]
    best_single: tuple[str, float]
    selection: Selection | None

    @property
    def gain(self) -> float:
        """Accuracy of the best ensemble less that of the best single candidate."""
        return self.ensembles[0].score.accuracy - self.best_single[1]

    def to_json(self) -> dict[str, Any]:
        search = self.search
        return {
            "on": self.on,
            "k": search.k,
            "rule": search.rule,
            "tie": search.tie,
            "candidates": list(self.candidates),
            "searched": search.searched,
            "complete": search.complete,
            "seconds": search.seconds,
            "results": [ensemble.to_json() for ensemble in self.ensembles],
            "best_single": {"member": self.best_single[0], "accuracy": self.best_single[1]},
            "gain": self.gain,
            "selection": None if self.selection is None else vars(self.selection),
        }


def vote(
    store: Store,
    members: Sequence[str] = (),
    *,
    k: int | None = None,
    all_combos: bool = False,
    steps: str = "selected",
    rule: str = "hard",
    tie: str = "lowest",
    min_accuracy: float = 0.0,
    on: str | None = None,
    split: str | None = None,
    top: int = 20,
    correct: bool = True,
    progress: Progress = silent,
) -> VoteReport:
    """Vote one ensemble, or every k-member ensemble of the candidates.

    Args:
        members: the candidates. Default: every run's selected step, or with ``steps="all"`` every cached step.
        k: members of an ensemble. Default: all candidates.
        all_combos: search all ensembles; without it there must be exactly k candidates.
        rule: ``hard`` (plurality), ``soft`` (mean probability) or ``soft-log`` (mean log-probability).
        tie: ``lowest``, ``confidence``, ``best`` or ``abstain``.
        min_accuracy: candidates below it, on these utterances, are left out.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        top: how many of the best to return.
        correct: correct the best accuracy for having been chosen on these utterances: by bootstrap where all outcomes
            fit in memory, else by disjoint halves.

    Raises:
        EnsembleError: if k does not fit the candidates.
        StoreError: if a candidate covers not all utterances, or lacks what the rule needs.
    """
    corpus = store.corpus
    on = name_part(corpus, on, split)
    rows = corpus.rows(on, split=split)
    truth = corpus.labels[rows]
    # By name, so that the outcome does not hang on the order in which the members were named.
    names = sorted(choose_members(store, members, steps=steps))
    predictions = store.predictions(names, rows)
    accuracies = np.array([compute_accuracy(truth, predicted) for predicted in predictions])
    kept = np.flatnonzero(accuracies >= min_accuracy)
    if not len(kept):
        raise EnsembleError(
            f"no candidate reaches --min-accuracy {min_accuracy}: the best is {names[int(accuracies.argmax())]} with "
            f"{accuracies.max():.4f}"
        )
    names, predictions, accuracies = [names[i] for i in kept], predictions[kept], accuracies[kept]
    k = _check_k(names, k, all_combos)
    probabilities = softmax(store.logits(names, rows)) if rule.startswith("soft") or tie == "confidence" else None
    options: dict[str, Any] = {"k": k, "n_classes": len(corpus.classes), "rule": rule, "tie": tie}
    search = search_ensembles(predictions, truth, probabilities=probabilities, top=top, progress=progress, **options)
    if not search.results:
        raise KeyboardInterrupt
    selection = None
    if correct and search.complete and len(truth) > 1:
        selection = _correct(predictions, truth, probabilities, search, options, progress)
    best = int(accuracies.argmax())
    return VoteReport(
        on=on,
        candidates=tuple(names),
        search=search,
        ensembles=tuple(
            RankedEnsemble(tuple(names[place] for place in score.members), score) for score in search.results
        ),
        best_single=(names[best], float(accuracies[best])),
        selection=selection,
    )


def _check_k(names: Sequence[str], k: int | None, all_combos: bool) -> int:
    k = len(names) if k is None else k
    if k < 1 or k > len(names):
        raise EnsembleError(
            f"k is {k} with {len(names)} candidates ({', '.join(names[:8])}{', …' if len(names) > 8 else ''}): "
            f"expected 1 to {len(names)}; add members, take --steps all, or choose a smaller --k"
        )
    if k != len(names) and not all_combos:
        raise EnsembleError(
            f"there are {len(names)} candidates for {k} places: name exactly {k} members, or search all "
            f"{comb(len(names), k):,} ensembles with --all-combos"
        )
    return k


def _correct(
    predictions: Any, truth: Any, probabilities: Any, search: SearchResult, options: Any, progress: Progress
) -> Selection:
    if search.searched == 1:
        accuracy = search.results[0].accuracy
        return Selection(apparent=accuracy, corrected=accuracy, repeats=0, method="none: nothing was chosen")
    if search.searched * len(truth) <= MAX_OUTCOMES:
        problem = pose_problem(predictions, truth, probabilities=probabilities, **options)
        return correct_selection_by_bootstrap(compute_outcomes(problem), repeats=BOOTSTRAP_REPEATS)

    everything = pose_problem(predictions, truth, probabilities=probabilities, **options)

    calls = 2 * HALVES_REPEATS + 1
    ticks = iter(progress(range(calls), total=calls, label="correcting for the choice"))

    def choose(chosen_on: Any) -> Any:
        next(ticks)
        part = None if probabilities is None else probabilities[:, chosen_on]
        found = search_ensembles(predictions[:, chosen_on], truth[chosen_on], probabilities=part, top=1, **options)
        if not found.complete:
            raise KeyboardInterrupt
        return everything.vote(list(found.results[0].members)).predicted == truth

    return correct_selection_by_halves(choose, n_utterances=len(truth), repeats=HALVES_REPEATS)
