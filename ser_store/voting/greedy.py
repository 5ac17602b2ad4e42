"""Greedy forward selection with replacement: good ensembles where there are too many to vote them all."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import EnsembleError
from ser_store.progress import Progress, silent
from ser_store.voting.contenders import weigh_utterances
from ser_store.voting.problem import Problem, pose_problem
from ser_store.voting.rules import ABSTAINED, Votes
from ser_store.voting.search import EnsembleScore, score_ensemble
from ser_store.voting.steps import Logits

# Sums of so many quantized probabilities are exact.
_MAX_ADDITIONS = 2**14


@dataclass(frozen=True)
class GreedyResult:
    """The path that the selection took.

    Attributes:
        rule: the voting rule.
        tie: the tie rule.
        added: the candidates in the order in which they were added; one may occur several times.
        path: the ensemble after each addition; its ``members`` ascending, with repetitions.
        voted: ensembles voted.
        complete: False if the selection was interrupted: then it holds the path so far.
        seconds: wall-clock time of the selection.
    """

    rule: str
    tie: str
    added: tuple[int, ...]
    path: tuple[EnsembleScore, ...]
    voted: int
    complete: bool
    seconds: float

    @property
    def best(self) -> EnsembleScore:
        """The best ensemble on the path: more right, then the higher balanced accuracy, then fewer members."""
        return max(self.path, key=lambda score: (score.correct, score.balanced_accuracy, -len(score.members)))


@dataclass(frozen=True)
class _Standing:
    """What an ensemble's decisions follow from.

    Attributes:
        scores: ``(n, c)`` int64, votes, or with soft voting the sums of quantized probabilities or logarithms.
        keys: ``(n, c)`` int64, of the classes of highest score the one of the highest key wins, of equal keys the
            lowest class; None where it is always the lowest class.
    """

    scores: NDArray[np.int64]
    keys: NDArray[np.int64] | None


def search_greedy(
    predictions: ArrayLike,
    truth: ArrayLike,
    *,
    k: int,
    n_classes: int,
    rule: str = "hard",
    tie: str = "lowest",
    probabilities: ArrayLike | Logits | None = None,
    progress: Progress = silent,
) -> GreedyResult:
    """Add ``k`` times the candidate with which the ensemble votes best; a candidate may be added again.

    Begins with the best single candidate, which is what an empty ensemble is best extended by. Of candidates with
    which the ensemble does equally well the one of more balanced accuracy is taken, then the one of lower index. As
    the path may fall again, its best ensemble is :attr:`GreedyResult.best`; nothing proves that there is no better.

    Ctrl-C ends the selection early with the path so far.

    Source: Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML 2004,
    sections 2 and 2.1.

    Args:
        predictions: ``(m, n)`` class indices in ``0..n_classes-1``, one row per candidate.
        truth: ``(n,)`` class indices.
        k: additions, 1 to 16384; may exceed m.
        n_classes: number of classes, ``c``.
        rule: ``hard`` (see :func:`~ser_store.voting.rules.hard_vote`), ``soft``
            (:func:`~ser_store.voting.rules.soft_vote`) or ``soft-log``
            (:func:`~ser_store.voting.rules.soft_log_vote`).
        tie: the tie rule of hard voting; ``best`` goes by the candidates' accuracy on these utterances, and between
            equally accurate ones by their index.
        probabilities: ``(m, n, c)`` in 0..1, or :class:`~ser_store.voting.steps.Logits`, for soft voting and the tie
            rule ``confidence``.
        progress: shows how far the selection is.

    Raises:
        EnsembleError: if the arrays do not fit each other, leave their ranges, or one that is needed is missing; if
            ``k`` leaves its range.
        UnknownNameError: if there is no such rule or tie rule.
    """
    if not 1 <= k <= _MAX_ADDITIONS:
        raise EnsembleError(f"k is {k}: expected 1 to {_MAX_ADDITIONS} additions")
    problem = pose_problem(
        predictions, truth, k=1, n_classes=n_classes, rule=rule, tie=tie, probabilities=probabilities
    )
    started = time.perf_counter()
    selection = _Selection(problem)
    complete = True
    try:
        for _ in progress(range(k), total=k, label="adding"):
            selection.add_best()
    except KeyboardInterrupt:
        complete = False
    return GreedyResult(
        rule=rule,
        tie=tie,
        added=tuple(selection.added),
        path=tuple(
            score_ensemble(problem, sorted(selection.added[: size + 1])) for size in range(len(selection.added))
        ),
        voted=len(selection.added) * problem.m,
        complete=complete,
        seconds=time.perf_counter() - started,
    )


class _Selection:
    """An ensemble that grows."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.added: list[int] = []
        self._weights = weigh_utterances(problem.truth, problem.n_classes)
        # The more accurate, then the earlier, has the higher rank.
        self._ranks = np.empty(problem.m, dtype=np.int64)
        self._ranks[np.lexsort((-np.arange(problem.m), problem.accuracies))] = np.arange(1, problem.m + 1)
        nothing = np.zeros((problem.n, problem.n_classes), dtype=np.int64)
        has_keys = problem.rule == "hard" and problem.tie in ("confidence", "best")
        self._standing = _Standing(nothing, nothing if has_keys else None)

    def add_best(self) -> None:
        """Add the candidate with which the ensemble votes best."""
        best, best_candidate, best_standing = (-1, -1), -1, self._standing
        for candidate in range(self.problem.m):
            standing = self._extend(candidate)
            right = _decide(standing, abstains=self.problem.tie == "abstain").predicted == self.problem.truth
            merit = (int(np.count_nonzero(right)), int(right @ self._weights))
            if merit > best:
                best, best_candidate, best_standing = merit, candidate, standing
        self.added.append(best_candidate)
        self._standing = best_standing

    def _extend(self, candidate: int) -> _Standing:
        """The standing with one more vote of ``candidate``."""
        problem, scores, keys = self.problem, self._standing.scores, self._standing.keys
        steps = None
        if problem.steps is not None:
            steps = problem.give(np.array([[candidate]]), np.arange(problem.n))[0]
        if problem.rule != "hard" and steps is not None:
            return _Standing(scores + steps, None)
        voted = np.arange(problem.n), problem.predictions[candidate]
        scores = scores.copy()
        scores[voted] += 1
        if keys is None:
            return _Standing(scores, None)
        if steps is not None:
            return _Standing(scores, keys + steps)
        keys = keys.copy()
        keys[voted] = np.maximum(keys[voted], self._ranks[candidate])
        return _Standing(scores, keys)


def _decide(standing: _Standing, *, abstains: bool) -> Votes:
    at_top = standing.scores == standing.scores.max(axis=1, keepdims=True)
    tied = at_top.sum(axis=1) > 1
    predicted = (at_top if standing.keys is None else np.where(at_top, standing.keys, -1)).argmax(axis=1)
    if abstains:
        predicted[tied] = ABSTAINED
    return Votes(predicted=predicted.astype(np.int16), tied=tied)
