"""``steps``: a run's checkpoint steps compared, and one of them selected."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import EnsembleError, StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation.choice.covering import keep_covering
from ser_store.evaluation.choice.ensemble_names import (
    EnsembleRule,
    VotingRule,
    describe_fits,
    load_members,
)
from ser_store.evaluation.choice.member_choice import choose_members, name_part
from ser_store.evaluation.folds import list_fold_runs, pool_selected
from ser_store.evaluation.leakage import caution_leakage
from ser_store.evaluation.step_comparison import RunSteps, StepComparison
from ser_store.evaluation.step_selection import RULES, StepScore, choose_step, find_best, find_divergence, score_steps
from ser_store.evaluation.uncertainty import choose_rule, correct_choice, find_accuracy_intervals
from ser_store.metrics import caution_absent_classes, compute_log_loss
from ser_store.statistics.comparisons import caution_few_groups, compare_pairs
from ser_store.voting.checks import Tie
from ser_store_h5.names import PLUS, Ensemble, format_member, list_names, parse_member
from ser_store_h5.runs import Selection
from ser_store_h5.store import Store, StoreLike, open_store

_SELECTED_ON_TEST = (
    "selected on test: what is reported on test from now on is too high; splits with a valid part avoid that"
)


def steps(
    store: StoreLike,
    runs: str | Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    select: str | int | None = None,
    rule: EnsembleRule = "hard",
    tie: Tie = "lowest",
) -> StepComparison:
    """Compare the cached steps of each run, and select one of them where asked.

    Args:
        store: a store, or its path.
        runs: names of runs. Default: every run with more than one step that predicts anything; where there is none,
            every run with one. Of an ensemble such as ``a+b+c``, its vote at each step that all of these runs have.
        on: part of the split, or ``all``. Default: with ``select``, ``valid`` where the split has it; else ``test``,
            else all.
        split: the split that ``on`` is a part of. Default: the store's default split.
        select: record one step in each run, for which the run's name then stands: ``best`` (highest accuracy),
            ``min-loss`` (lowest evaluation loss), ``divergence`` (lowest evaluation loss before it rises while the
            training loss falls), ``last``, or the number of a step. Of a run that is pooled over folds with validation
            parts, the step of each fold is selected there instead, and ``NAME-selected@0`` is the member of these.
            Not of ensembles.
        rule: how ensembles vote, as for :func:`ser_store.evaluate`.
        tie: how their hard votes break ties: ``lowest``, ``confidence``, ``best`` or ``abstain``.

    Returns:
        For each run its steps with accuracies and losses, the best step against the last one, and the best step's
        accuracy corrected for having been chosen.

    Raises:
        EnsembleError: if a step of an ensemble is to be selected, or weights cannot be fitted.
        StoreError: if there is nothing to compare, a run that is named cannot be read, or it lacks the step.
        UnknownNameError: if there is no such run, part, split or rule.

    >>> import ser_store as ss
    >>> [score.step for score in ss.steps(ss.open_example(), "xlsr53").runs[0].steps]
    [1100]
    """
    store = open_store(store)
    runs = list_names(runs)
    corpus = store.corpus
    if on is None and select is not None and corpus.splits and "valid" in corpus.part_names(split):
        on = "valid"
    on = name_part(corpus, on, split)
    rows = corpus.rows(on, split=split)
    voting = VotingRule(rule, tie, split)
    ensembles = [run for run in runs if PLUS in run]
    if ensembles and select is not None:
        raise EnsembleError(
            f"`select` with {ensembles[0]}: expected runs, each of which has a step selected of its own"
        )
    predicting, unread = _list_predicting(store, list(dict.fromkeys(one for run in runs for one in run.split(PLUS))))
    names, left_out = keep_covering(store, predicting, rows, on=on)
    of_run: dict[str, list[str]] = {}
    for name in names:
        of_run.setdefault(parse_member(name)[0], []).append(name)
    by_run = {run: _list_at_each_step(run, of_run) if PLUS in run else of_run.get(run, []) for run in runs or of_run}
    for run in runs:
        if not by_run[run]:
            raise StoreError(f"run {run} has no step that covers the {len(rows)} utterances of {on}: {left_out[0]}")
    if not runs and any(len(own) > 1 for own in by_run.values()):
        by_run = {run: own for run, own in by_run.items() if len(own) > 1}
    rules = {run: None if _select_in_folds(store, run, select) else select for run in by_run}
    compared = tuple(
        _compare_steps(store, run, own, on=on, rows=rows, select=rules[run], voting=voting)
        for run, own in by_run.items()
    )
    speakers = corpus.speaker_groups(rows)
    n_speakers = 0 if speakers is None else len(set(speakers.tolist()))
    few = caution_few_groups(n_speakers) if n_speakers > 1 else None
    selected = on == "test" and any(rule is not None for rule in rules.values())
    cautions = (
        *((_SELECTED_ON_TEST,) if selected else ()),
        *unread,
        *left_out,
        *describe_fits(corpus, list(by_run), rows, on=on, rule=voting),
        *caution_leakage(
            store, [one for own in by_run.values() for name in own for one in name.split(PLUS)], rows, chosen=False
        ),
        *caution_absent_classes(corpus.labels[rows], corpus.classes),
        *((few,) if few and any(run.best_against_last is not None for run in compared) else ()),
    )
    return StepComparison(on=on, split=split or corpus.default_split, runs=compared, cautions=cautions, n=len(rows))


def _select_in_folds(store: Store, run: str, select: str | int | None) -> bool:
    """Select the step of each fold on its validation part, if the run is pooled of folds that have one."""
    if not isinstance(select, str) or select not in RULES:
        return False
    record = store.run(run)
    if record.details.get("valid") is None:
        return False
    runs = list_fold_runs(record)
    for one in runs.values():
        details = store.run(one).details
        steps(store, one, on=details["on"], split=details["split"], select=select)
    if runs:
        pool_selected(store, record)
    return bool(runs)


def _list_predicting(store: Store, runs: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return all steps that predict something, of those named or of all runs, and a line for what is damaged."""
    if not runs:
        return choose_members(store, steps="all")
    names = []
    for run in runs:
        if "@" in run:
            raise StoreError(f"{run} is one step: expected a run, such as {run.split('@')[0]}")
        own = [member.name for member in store.members(run) if member.can_vote]
        if not own:
            raise StoreError(f"run {run} has no step that predicts anything: expected logits or labels")
        names += own
    return names, ()


def _list_at_each_step(ensemble: str, of_run: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the ensemble of its runs' members at each step that all of them have; refused if there is none."""
    runs = ensemble.split(PLUS)
    steps_of = {run: {parse_member(name)[1] for name in of_run.get(run, ())} for run in runs}
    common = sorted(step for step in set.intersection(*steps_of.values()) if step is not None)
    if not common or len(steps_of) < len(runs):
        raise EnsembleError(
            f"{ensemble} has no step that each of its runs has: expected two different runs or more of the same steps; "
            "`evaluate()` takes members of different ones, such as a@100+b@200"
        )
    return [str(Ensemble(format_member(run, step) for run in runs)) for step in common]


def _compare_steps(
    store: Store,
    run: str,
    names: Sequence[str],
    *,
    on: str,
    rows: NDArray[np.int32],
    select: str | int | None,
    voting: VotingRule,
) -> RunSteps:
    """Return the steps of a run by the full ``names`` of their members or ensembles, which cover all ``rows``."""
    corpus = store.corpus
    truth = corpus.labels[rows]
    predictions, logits = load_members(store, names, rows, rule=voting)
    losses = [None if own is None else compute_log_loss(truth, own) for own in logits]
    cached = [store.resolve(name.split(PLUS)[0])[1] for name in names]
    points = [] if PLUS in run else store.curves(run)
    train_losses = [(int(one["step"]), float(one["train_loss"])) for one in points if one.get("train_loss") is not None]
    scores = score_steps(truth, predictions, cached, losses, train_losses, len(corpus.classes))
    if select is not None:
        _select(store, run, scores, str(select), on)
    right = predictions == truth
    best, last = cached.index(find_best(scores).step), len(cached) - 1
    pair = [names[best], names[last]]
    record = None if PLUS in run else store.run(run)
    speakers = corpus.speaker_groups(rows)
    correction, note = correct_choice(right, speakers, noun="step")
    # Of a single speaker there is none to swap steps for.
    groups = None if speakers is None or len(set(speakers.tolist())) == 1 else speakers
    return RunSteps(
        run=run,
        selected=None if record is None else store.selected_step(run),
        reason=record.selected.reason if record is not None and record.selected else None,
        steps=tuple(scores),
        intervals=tuple(find_accuracy_intervals(right, choose_rule(speakers))),
        best=cached[best],
        divergence=find_divergence(scores),
        best_against_last=None if best == last else compare_pairs(right[[best, last]], pair, groups=groups)[0],
        correction=correction,
        note=note,
        folds=() if record is None else tuple(list_fold_runs(record).values()),
    )


def _select(store: Store, run: str, scores: Sequence[StepScore], select: str, on: str) -> None:
    if select.isascii() and select.isdigit():
        if int(select) not in [score.step for score in scores]:
            there = ", ".join(str(score.step) for score in scores)
            raise StoreError(f"run {run} has no cached step {select}: expected one of {there}")
        selection = Selection(int(select), "step", on, "named by the user")
    elif select in RULES:
        selection = choose_step(run, scores, select, on)
    else:
        raise UnknownNameError(describe_unknown("rule for a step", select, [*RULES, "STEP"]))
    store.update_run(replace(store.run(run), selected=selection))
