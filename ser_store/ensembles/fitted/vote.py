"""``vote`` by a rule with fitted weights: every utterance by weights that have not seen its speaker."""

import time
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.candidate_pool import CandidatePool, pose_pool
from ser_store.ensembles.candidates import load_candidates
from ser_store.ensembles.choice import CandidateChoice
from ser_store.ensembles.fitted.report import FittedVote, FittedWeight, make_fitted_vote, summarize_weights
from ser_store.ensembles.fitted.saving import save_fitted
from ser_store.ensembles.options import VoteOptions
from ser_store.ensembles.ranking import RankedEnsemble
from ser_store.ensembles.report import list_cautions
from ser_store.ensembles.utterances import Utterances, caution_fit
from ser_store.errors import EnsembleError
from ser_store.evaluation.fitted import Task, pose_task
from ser_store.evaluation.score_kinds import load_probabilities
from ser_store.evaluation.uncertainty import IntervalRule, choose_rule, find_accuracy_intervals, find_balanced_intervals
from ser_store.statistics.comparisons import caution_few_groups, compare_against
from ser_store.voting.fitted import FITS, Combination, FittedRule
from ser_store.voting.quantize import Logits
from ser_store.voting.rules import Votes, hard_vote, soft_log_vote, soft_vote
from ser_store.voting.search import score_votes
from ser_store_h5.names import Ensemble
from ser_store_h5.progress import Progress
from ser_store_h5.store import Store

_WAY_OUT = "take `rule` soft-log, which fits nothing, or another part to fit on with `select_on`"


def refuse_searching(options: VoteOptions, *, all_combos: bool, **others: object) -> None:
    """Refuse what makes no sense where weights are fitted to members that are named.

    Args:
        options: of a rule that fits weights.
        all_combos: whether all ensembles of a size are asked for.
        others: parameters that only other rules take, by name, as they are given: None or False where they are not.

    Raises:
        EnsembleError: naming the way out.
    """
    rule, limits = f"`rule` {options.rule}", options.limits
    if all_combos or options.search.method != "auto":
        raise EnsembleError(
            f"{'`all_combos`' if all_combos else '`search`'} with {rule}, which fits weights to the members that are "
            "named: expected no search; choose members first by another `rule`, or take `rule` greedy-pool, which "
            "chooses them on other speakers"
        )
    others |= {
        "tie": options.tie != "lowest",
        "objective": options.objective != "accuracy",
        "min_accuracy": limits.min_accuracy > 0,
        "one_step_per_run": limits.one_step_per_run,
        "include": bool(limits.include),
    }
    for name, given in others.items():
        if given is not None and given is not False:
            raise EnsembleError(f"`{name}` with {rule}: expected a rule that fits no weights; drop `{name}`")


def vote_fitted(
    store: Store,
    choice: CandidateChoice,
    utterances: Utterances,
    options: VoteOptions,
    *,
    chosen: bool,
    save: str | None = None,
    progress: Progress,
) -> FittedVote:
    """Return the vote by a fitted rule, and beside it what the other rules make of the same members.

    Args:
        store: the store.
        choice: of the candidates, all of which are combined.
        utterances: those that are reported on, and fitted on where these are others.
        options: of the vote.
        chosen: whether the candidates are their runs' selected steps.
        save: keep what is said under this name.
        progress: shows which rule is fitted.

    Raises:
        CorpusError: if all utterances that are fitted on are of one speaker.
        EnsembleError: if ``k`` is not the number of members, or the rule cannot be fitted.
        StoreError: if a member has no scores.
    """
    m, asked = len(choice.names), cast(FittedRule, options.rule)
    if options.ks not in (None, (m,)):
        raise EnsembleError(f"`k` with `rule` {asked} of {m} members: expected all of them; name fewer, or drop `k`")
    reported = load_candidates(store, choice.names, utterances.reported, options)
    searched = reported
    if utterances.select_on is not None:
        searched = load_candidates(store, choice.names, utterances.searched, options)
    task = pose_task(store, reported.names, **utterances.fitted, way_out=_WAY_OUT)
    started = time.perf_counter()
    solved, unfitted = _solve(task, asked, store.corpus.classes, progress)
    weights = {rule: summarize_weights(reported.names, fits) for rule, (_, fits) in solved.items()}
    pool, best = pose_pool(reported, options), int(searched.correct.argmax())
    votes = {"best member": Votes(reported.predictions[best], np.zeros(len(reported.truth), dtype=np.bool_))}
    votes |= _vote_plainly(store, pool, utterances.reported)
    votes |= {rule: _decide(said) for rule, (said, _) in solved.items()}
    drawn = choose_rule(utterances.speakers)
    right = np.array([own.predicted == reported.truth for own in votes.values()])
    report = make_fitted_vote(
        pool,
        utterances,
        options,
        rules=_rank_rules(pool, votes, weights, drawn, best=best),
        against=compare_against(right, list(votes), list(votes).index(asked), groups=drawn.speakers),
        weights=weights[asked],
        fitted=task.describe(),
        said=solved[asked][0],
        seconds=time.perf_counter() - started,
        notes=unfitted,
        cautions=(
            *choice.left_out,
            *list_cautions(store, pool, reported, utterances, chosen=chosen),
            *caution_fit(store, reported.names, utterances),
            *_caution_few(drawn),
        ),
    )
    return report if save is None else replace(report, saved=save_fitted(store, save, report, task, utterances))


def _solve(
    task: Task, asked: FittedRule, classes: tuple[str, ...], progress: Progress
) -> tuple[dict[FittedRule, tuple[NDArray[np.float64], tuple[Combination, ...]]], tuple[str, ...]]:
    """Return what each rule says, and what was fitted for it; and a line for each that cannot be fitted.

    Raises:
        EnsembleError: if the rule asked for cannot be.
    """
    obstacles = {rule: line for rule in FITS if (line := task.find_obstacle(rule, classes)) is not None}
    if asked in obstacles:
        raise EnsembleError(obstacles[asked])
    rules = [rule for rule in FITS if rule not in obstacles]
    solved = {rule: task.solve(rule) for rule in progress(rules, total=len(rules), label="fitting")}
    return solved, tuple(obstacles.values())


def _vote_plainly(store: Store, pool: CandidatePool, rows: NDArray[np.int32]) -> dict[str, Votes]:
    """Return the votes of all members by the rules that fit nothing."""
    names, problem = pool.candidates.names, pool.problem
    return {
        "hard": hard_vote(pool.candidates.predictions, n_classes=problem.n_classes),
        "soft": soft_vote(load_probabilities(store, names, rows)),
        "soft-log": soft_log_vote(Logits(store.logits(names, rows))),
    }


def _decide(said: NDArray[np.float64]) -> Votes:
    return Votes(said.argmax(axis=1).astype(np.int16), np.zeros(len(said), dtype=np.bool_))


def _rank_rules(
    pool: CandidatePool,
    votes: dict[str, Votes],
    weights: dict[FittedRule, tuple[FittedWeight, ...]],
    drawn: IntervalRule,
    *,
    best: int,
) -> dict[str, RankedEnsemble]:
    """Return the figures of each rule, of the members that it has."""
    names, truth = pool.candidates.names, pool.problem.truth
    predicted = np.array([own.predicted for own in votes.values()])
    right = predicted == truth
    intervals = find_accuracy_intervals(right, drawn)
    balanced = find_balanced_intervals(truth, predicted, n_classes=pool.problem.n_classes, rule=drawn)
    alone = float(right[0].mean())
    ranked = {}
    for (rule, own), interval, balanced_interval in zip(votes.items(), intervals, balanced, strict=True):
        places = tuple(range(len(names)))
        if rule == "best member":
            places = (best,)
        elif rule == "greedy-pool":
            places = tuple(place for place, one in enumerate(weights["greedy-pool"]) if one.fits) or places
        score = score_votes(pool.problem, places, own)
        ranked[rule] = RankedEnsemble(
            k=len(places),
            members=Ensemble(names[place] for place in places),
            score=score,
            interval=interval,
            balanced_interval=balanced_interval,
            gain=score.accuracy - alone,
        )
    return ranked


def _caution_few(drawn: IntervalRule) -> tuple[str, ...]:
    """Return a line where there are too few speakers to tell one rule from another."""
    line = None if drawn.speakers is None else caution_few_groups(len(set(drawn.speakers.tolist())))
    return () if line is None else (line,)
