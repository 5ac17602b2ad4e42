"""Corrections of the best ensemble's figure for having been chosen on the utterances it is reported on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.candidate_pool import CandidatePool, pose_pool
from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.cost import guess_pass_seconds, guess_seconds, name_backend, name_repeated
from ser_store.ensembles.options import VoteOptions
from ser_store.ensembles.ranking import Ranking
from ser_store.ensembles.search import choose_best, is_choice, order_best
from ser_store.ensembles.utterances import Utterances
from ser_store.errors import UncorrectableError
from ser_store.statistics.repeated_choice import SelectionBias, weigh_alike, weigh_classes_alike
from ser_store.statistics.selection import correct_choices, correct_search, correct_selection_by_bootstrap
from ser_store.voting.compiled import find_obstacle
from ser_store.voting.numpy_search import compute_outcomes
from ser_store.voting.problem import Problem
from ser_store.voting.resampled import find_bests
from ser_store.voting.search import SearchResult
from ser_store_h5.progress import Progress

# Outcomes of so many ensembles and utterances are kept at once, at a byte each.
MAX_OUTCOMES = 20_000_000
# Repeats where the outcomes of all ensembles are kept, and where the search is run again each time.
OUTCOME_REPEATS = 1000
SEARCH_REPEATS = 200
HALVES_REPEATS = 50
# Samples of utterances take longer to choose in at once than those of speakers, and scatter less.
UTTERANCE_REPEATS = 60
# Searches are repeated until the standard error of the figure by their number is no more than this.
REPEAT_ERROR = 0.005
# Searches that are repeated take so long together, by a guess that is the same on all machines; where fewer than the
# least number fit in, nothing is corrected unless the number is stated.
MAX_SECONDS = 60.0
LEAST_REPEATS = 10
_IGNORES_SPEAKERS = "corrected by utterance though speakers are known: for these speakers, too high for others"
# Seconds of all repeats in numpy from which compiled code is worth loading.
_COMPILED_FROM = 3.0
# Seconds of one vote of a greedy search, and of each utterance and class of it.
_GREEDY_VOTE, _GREEDY_CELL = 3e-5, 1e-8


@dataclass(frozen=True)
class Corrected:
    """The outcome of a correction.

    Attributes:
        selection: the best ensemble's figure as found and corrected, or None.
        note: why nothing was corrected, if so.
        complete: False if the search or the correction was interrupted.
    """

    selection: SelectionBias | None
    note: str = ""
    complete: bool = True


def correct_choice(
    everything: Candidates,
    pool: CandidatePool,
    found: Sequence[SearchResult],
    ranking: Ranking,
    utterances: Utterances,
    *,
    progress: Progress,
) -> Corrected:
    """Return the figure of the best ensemble as found and corrected, and where there is none, why.

    The figure is the objective: accuracy, or balanced accuracy. All that was chosen by what is right on these
    utterances is chosen again in every repeat: the candidates by their accuracy, their weights, the member that decides
    ties, the size of the ensemble and its members.

    Args:
        everything: all candidates where they were searched, also those below the least accuracy.
        pool: those who were searched.
        found: what was found among them.
        ranking: the same, where it is reported on.
        utterances: those of the vote.
        progress: shows how many repeats are done.
    """
    complete = len(found) == len(pool.ks) and found[-1].complete
    if utterances.select_on is not None:
        return Corrected(_hold_out(ranking, pool.options, utterances.select_on), complete=complete)
    interrupted = Corrected(None, "not corrected: interrupted", complete=False)
    if not complete:
        return interrupted
    try:
        return _correct(everything, pool, found, utterances, progress)
    except UncorrectableError as error:
        return Corrected(None, f"not corrected: {error}")
    except KeyboardInterrupt:
        return interrupted


def _hold_out(ranking: Ranking, options: VoteOptions, select_on: str) -> SelectionBias:
    """Return the figure where the ensemble was chosen, and where it was not."""
    best = ranking.ensembles[0]
    figures = [
        score.accuracy if options.objective == "accuracy" else score.balanced_accuracy
        for score in (best.chosen_score, best.score)
    ]
    low, high = best.interval.bounds if options.objective == "accuracy" else (None, None)
    method = f"held out: chosen on {select_on}"
    return SelectionBias(apparent=figures[0], corrected=figures[1], repeats=0, method=method, low=low, high=high)


def _correct(
    everything: Candidates,
    pool: CandidatePool,
    found: Sequence[SearchResult],
    utterances: Utterances,
    progress: Progress,
) -> Corrected:
    options, correction = pool.options, pool.options.correction
    if not is_choice(found, options):
        best = order_best(found, options.objective)[0][1]
        figure = best.accuracy if options.objective == "accuracy" else best.balanced_accuracy
        return Corrected(SelectionBias(figure, figure, repeats=0, method="none: nothing was chosen"))
    if correction.method == "none":
        return Corrected(None, "not corrected: `correction` none")
    shared: dict[str, Any] = {
        "groups": utterances.groups,
        "group_name": utterances.group_name,
        "seed": correction.seed,
        "weigh": weigh_alike if options.objective == "accuracy" else weigh_classes_alike(everything.truth),
    }
    if correction.method == "bootstrap" and _fits_in_memory(pool):
        repeats = correction.repeats or OUTCOME_REPEATS
        outcomes = np.concatenate([compute_outcomes(problem) for problem in pool.iter_problems()])
        selection = correct_selection_by_bootstrap(outcomes, repeats=repeats, **shared)
    elif _is_one_pass(pool, utterances):
        del shared["weigh"]
        selection = correct_choices(
            _ChoiceInSamples(pool, progress),
            _tell_right(pool.problem, order_best(found, options.objective)[0][1].members),
            repeats=_count_samples(options, utterances),
            **shared,
        )
    else:
        repeats = correction.repeats or count_repeats(pool, found)
        if repeats < LEAST_REPEATS and correction.repeats is None:
            note = f"fewer than {LEAST_REPEATS} such searches fit into {MAX_SECONDS:.0f} s"
            return Corrected(None, f"not corrected: {note}; `repeats` {LEAST_REPEATS} takes the time")
        choose = _RepeatedChoice(everything, options, _choose_backend(pool, n_searches=repeats))
        shared |= {"n_utterances": len(everything.truth), "repeats": repeats, "progress": progress}
        error = REPEAT_ERROR if correction.method == "bootstrap" and not correction.repeats else None
        selection = correct_search(choose, method=correction.method, error=error, **shared)
    if utterances.groups is None and utterances.speakers is not None:
        selection = replace(selection, caution=_IGNORES_SPEAKERS)
    return Corrected(selection)


def count_repeats(pool: CandidatePool, found: Sequence[SearchResult]) -> int:
    """Return how many repeats fit into ``MAX_SECONDS``, by a guess that is the same on all machines."""
    search, problem = pool.options.search, pool.problem
    # A repeat has two halves, of half the utterances each.
    most = HALVES_REPEATS if pool.options.correction.method == "halves" else SEARCH_REPEATS
    if search.method == "greedy":
        vote = _GREEDY_VOTE + _GREEDY_CELL * problem.n * problem.n_classes
        each = vote * sum(one.searched for one in found)
    elif search.method == "pruned":
        each = sum(one.seconds for one in found)
    else:
        each = sum(guess_seconds(one, backend=name_repeated(one, search)) for one in pool.iter_problems())
        in_numpy = sum(guess_seconds(one, backend="batched") for one in pool.iter_problems())
        if in_numpy * most > MAX_SECONDS and find_obstacle() is not None:
            each = in_numpy
    return min(int(MAX_SECONDS / max(each, 1e-9)), most)


def _fits_in_memory(pool: CandidatePool) -> bool:
    """Return whether nothing but the ensemble is chosen, and the outcomes of all ensembles fit in memory."""
    if pool.options.takes_from_truth or not pool.options.search.votes_all:
        return False
    return sum(comb(pool.problem.m, k) for k in pool.ks) * pool.problem.n <= MAX_OUTCOMES


def _is_one_pass(pool: CandidatePool, utterances: Utterances) -> bool:
    """Return whether one pass over all ensembles chooses in all samples, and takes no longer than anybody waits."""
    options = pool.options
    if options.takes_from_truth or options.objective != "accuracy" or options.correction.method != "bootstrap":
        return False
    if not options.search.votes_all or options.search.backend == "batched" or find_obstacle() is not None:
        return False
    n_units = pool.problem.n if utterances.groups is None else len(set(utterances.groups))
    n_samples = _count_samples(options, utterances)
    problems = list(pool.iter_problems())
    seconds = sum(guess_pass_seconds(problem, n_units=n_units, n_samples=n_samples) for problem in problems)
    return all(problem.is_added_up for problem in problems) and seconds <= MAX_SECONDS


def _count_samples(options: VoteOptions, utterances: Utterances) -> int:
    return options.correction.repeats or (UTTERANCE_REPEATS if utterances.groups is None else SEARCH_REPEATS)


def _tell_right(problem: Problem, members: Sequence[int]) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = problem.vote(list(members)).predicted == problem.truth
    return right


@dataclass(frozen=True, eq=False)
class _ChoiceInSamples:
    """The choice of an ensemble of all sizes in many samples at once; Ctrl-C ends it."""

    pool: CandidatePool
    progress: Progress

    def __call__(self, samples: NDArray[np.intp], units: NDArray[np.intp]) -> NDArray[np.bool_]:
        threads = self.pool.options.search.threads
        by_size = np.stack(
            [
                [
                    _tell_right(problem, one)
                    for one in find_bests(problem, samples, units, threads=threads, progress=self.progress)
                ]
                for problem in self.pool.iter_problems()
            ]
        )
        counts = (by_size * samples[:, units]).sum(axis=2)
        outcomes: NDArray[np.bool_] = by_size[counts.argmax(axis=0), np.arange(len(samples))]
        return outcomes


@dataclass(frozen=True, eq=False)
class _RepeatedChoice:
    """The whole choice, as a function of the utterances it sees; Ctrl-C ends it."""

    everything: Candidates
    options: VoteOptions
    backend: str

    def __call__(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        pool = _pose_lowered(self.everything.at(rows), self.options)
        members = list(choose_best(pool, backend=self.backend).members)
        return _tell_right(pool.pose_on(self.everything), members)


def _pose_lowered(seen: Candidates, options: VoteOptions) -> CandidatePool:
    """Return the pool on these utterances, with the sizes of which there are ensembles.

    Where no ensemble of those that reach ``min_accuracy`` is allowed, it is lowered until one is.
    """
    least = options.limits.min_accuracy
    bounds = [least, *sorted(set(seen.accuracies.tolist()), reverse=True), 0.0]
    for bound in bounds:
        if bound <= least and (bound <= seen.accuracies.max() or not bound):
            pool = pose_pool(seen, options, min_accuracy=bound)
            if options.search.method == "greedy":
                return pool
            if ks := tuple(k for k in pool.ks if pool.count(k)):
                return replace(pool, ks=ks)
    return pool


def _choose_backend(pool: CandidatePool, *, n_searches: int) -> str:
    """Return the back end of all repeats: compiled code is loaded once for them, which pays sooner than for one."""
    search = pool.options.search
    if search.backend != "auto" and not search.runs_on_cluster:
        return search.backend
    problems = list(pool.iter_problems())
    if sum(guess_seconds(problem, backend="batched") for problem in problems) * n_searches < _COMPILED_FROM:
        return "auto"
    if find_obstacle() is not None:
        return "auto"
    # What only numpy counts all ensembles of, compiled code may find the best of.
    names = {name_backend(problem, search) for problem in problems} - {"batched"}
    return names.pop() if len(names) == 1 else "auto"
