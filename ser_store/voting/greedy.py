"""Greedy forward selection, with and without replacement: good ensembles where there are too many to vote them all."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import EnsembleError
from ser_store.voting.problem import Problem, check_plain
from ser_store.voting.search import EnsembleScore, SearchResult, score_ensemble
from ser_store.voting.top_k import weigh_utterances
from ser_store_h5.progress import Progress, silent

# Sums of so many quantized probabilities are exact.
_MAX_ADDITIONS = 2**14


@dataclass(frozen=True)
class _Sums:
    """What an ensemble's decisions follow from.

    Attributes:
        scores: ``(n, c)`` int64, votes, or with soft voting the sums of quantized probabilities or logarithms.
        keys: ``(n, c)`` int64, of the classes of highest score the one of the highest key wins, of equal keys the
            lowest class; None where it is always the lowest class.
    """

    scores: NDArray[np.int64]
    keys: NDArray[np.int64] | None


def search_greedy(problem: Problem, *, top: int | None = None, progress: Progress = silent) -> SearchResult:
    """Build an ensemble greedily: add ``problem.k`` times the candidate with which it votes best.

    This is done in several ways ("paths"), and the best outcome is returned. Every path begins with the best single
    candidate:

    - without replacement: no candidate is added twice; the path ends when all are in;
    - in hard voting, without replacement once more, comparing candidates as if ties were decided by lot. Two members
      that disagree always tie, so that by the tie rule alone the second member would hardly count;
    - with replacement: a candidate may be added again. In hard voting it often is, without being of use: who has more
      than half of the votes is the ensemble.

    Of candidates with which the ensemble is equally accurate the one of higher balanced accuracy is taken, then the
    one of lower index. Accuracy may fall along a path: its results are the ensembles after each addition, members
    ascending and with repetitions, the best first: more right, then the higher balanced accuracy, then fewer members.
    Of paths whose best are equally good the first is taken. Nothing proves that there is no better ensemble.

    Ctrl-C ends the selection early with the path so far.

    Source: Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML 2004,
    sections 2 and 2.1.

    Args:
        problem: without weights or constraints, by accuracy. ``k`` additions, 1 to 16384; may exceed m.
        top: how many of the path's ensembles to return. Default: all.

    Raises:
        EnsembleError: if ``k`` leaves its range, or the problem has weights, constraints or another objective.

    >>> from ser_store.voting.problem import pose_problem
    >>> found = search_greedy(pose_problem([[0, 0, 1], [0, 1, 0], [1, 1, 1]], [0, 1, 1], k=3, n_classes=2))
    >>> found.results[0].members, found.results[0].correct
    ((0, 1, 2), 3)
    """
    k = problem.k
    if not 1 <= k <= _MAX_ADDITIONS:
        raise EnsembleError(f"k is {k}: expected 1 to {_MAX_ADDITIONS} additions")
    check_plain(problem, search="greedy")
    started = time.perf_counter()
    paths = [_Path(problem), _Path(problem, repeats=True)]
    if problem.rule == "hard":
        paths.insert(1, _Path(problem, draws_lots=True))
    complete = True
    try:
        for _ in progress(range(k), total=k, label="adding"):
            for path in paths:
                path.add_best()
    except KeyboardInterrupt:
        complete = False
    ranked = []
    for path in paths:
        ensembles = [score_ensemble(problem, sorted(path.added[:size])) for size in range(1, len(path.added) + 1)]
        ranked.append(sorted(ensembles, key=_rank))
    return SearchResult(
        k=k,
        method="greedy",
        total=problem.total,
        searched=sum(path.voted for path in paths),
        complete=complete,
        proved=False,
        bound=None,
        seconds=time.perf_counter() - started,
        histogram=None,
        results=tuple(min(ranked, key=lambda path: _rank(path[0]) if path else (1, 0.0, 0))[:top]),
    )


def _rank(score: EnsembleScore) -> tuple[int, float, int]:
    return -score.correct, -score.balanced_accuracy, len(score.members)


class _Path:
    """An ensemble that grows.

    Args:
        repeats: whether a candidate may be added again.
        draws_lots: whether the truth's chance by lot is what counts of a tie.
    """

    def __init__(self, problem: Problem, *, repeats: bool = False, draws_lots: bool = False) -> None:
        self.problem = problem
        self.added: list[int] = []
        self.voted = 0
        self._repeats, self._draws_lots = repeats, draws_lots
        self._weights = weigh_utterances(problem.truth, problem.n_classes)
        # The more accurate, then the earlier, has the higher rank.
        self._ranks = np.empty(problem.m, dtype=np.int64)
        self._ranks[np.lexsort((-np.arange(problem.m), problem.accuracies))] = np.arange(1, problem.m + 1)
        nothing = np.zeros((problem.n, problem.n_classes), dtype=np.int64)
        has_keys = problem.rule == "hard" and problem.tie in ("confidence", "best")
        self._sums = _Sums(nothing, nothing if has_keys else None)

    def add_best(self) -> None:
        """Add the candidate with which the ensemble votes best, if there is one to add."""
        best: tuple[float, float] = (-1, -1)
        best_candidate, best_sums = -1, self._sums
        candidates = [one for one in range(self.problem.m) if self._repeats or one not in self.added]
        for candidate in candidates:
            sums = self._extend(candidate)
            right = self._score(sums)
            merit = (round(float(right.sum()), 6), (right @ self._weights).item())
            if merit > best:
                best, best_candidate, best_sums = merit, candidate, sums
        self.voted += len(candidates)
        if candidates:
            self.added.append(best_candidate)
            self._sums = best_sums

    def _score(self, sums: _Sums) -> NDArray[Any]:
        """Return for every utterance whether it is right, or how probably by lot, ``(n,)``."""
        problem = self.problem
        at_top = sums.scores == sums.scores.max(axis=1, keepdims=True)
        if not self._draws_lots:
            predicted = (at_top if sums.keys is None else np.where(at_top, sums.keys, -1)).argmax(axis=1)
            abstains = problem.tie == "abstain" and at_top.sum(axis=1) > 1
            return np.asarray((predicted == problem.truth) & ~np.asarray(abstains))
        chances: NDArray[np.float64] = at_top[np.arange(problem.n), problem.truth] / at_top.sum(axis=1)
        return chances

    def _extend(self, candidate: int) -> _Sums:
        problem, scores, keys = self.problem, self._sums.scores, self._sums.keys
        steps = None
        if problem.steps is not None:
            steps = problem.give(np.array([[candidate]]), np.arange(problem.n))[0]
        if problem.rule != "hard" and steps is not None:
            return _Sums(scores + steps, None)
        voted = np.arange(problem.n), problem.predictions[candidate]
        scores = scores.copy()
        scores[voted] += 1
        if keys is None:
            return _Sums(scores, None)
        if steps is not None:
            return _Sums(scores, keys + steps)
        keys = keys.copy()
        keys[voted] = np.maximum(keys[voted], self._ranks[candidate])
        return _Sums(scores, keys)
