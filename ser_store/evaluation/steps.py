"""``steps``: a run's checkpoint steps compared, and one of them selected."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Block, Result
from ser_store.errors import StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation.choice.ensemble_names import load_members
from ser_store.evaluation.choice.member_choice import choose_members, keep_covering, name_part
from ser_store.evaluation.leakage import caution_leakage
from ser_store.evaluation.repeats.fold_runs import list_fold_runs, pool_selected
from ser_store.evaluation.step_selection import RULES, StepScore, choose_step, find_best, find_divergence
from ser_store.evaluation.tables.evaluation import caption_utterances
from ser_store.evaluation.tables.steps import tabulate_steps
from ser_store.evaluation.uncertainty import choose_rule, correct_choice, find_accuracy_intervals
from ser_store.metrics import caution_absent_classes, compute_log_loss, evaluate_predictions
from ser_store.statistics.bootstrap import Interval
from ser_store.statistics.comparisons import PairComparison, caution_few_groups, compare_pairs
from ser_store.statistics.repeated_choice import SelectionBias
from ser_store_h5.corpus import Corpus
from ser_store_h5.names import PLUS, list_names, parse_member
from ser_store_h5.runs import Selection
from ser_store_h5.store import Store, StoreLike, open_store

_SELECTED_ON_TEST = (
    "selected on test: what is reported on test from now on is too high; splits with a valid part avoid that"
)


@dataclass(frozen=True)
class RunSteps:
    """All steps of a run, ascending, and what follows from them.

    Attributes:
        run: the run's name.
        selected: the step its name stands for.
        reason: why, where a step was selected.
        steps: one score for each cached step.
        intervals: of the accuracy of each.
        best: the step with the highest accuracy; of equals the earliest.
        divergence: the step after which the evaluation loss rises while the training loss falls; None if there is none.
        best_against_last: the best step (first) compared with the last one (second), by speaker where speakers are
            known; None if they are the same.
        correction: the best step's accuracy as found, and corrected for having been chosen among these steps on
            these very utterances; None where it cannot be.
        note: why nothing was corrected, if so.
        folds: the runs that it is pooled of, each of which has a curve of its own; none for other runs.
    """

    run: str
    selected: int
    reason: str | None
    steps: tuple[StepScore, ...]
    intervals: tuple[Interval, ...]
    best: int
    divergence: int | None
    best_against_last: PairComparison | None
    correction: SelectionBias | None
    note: str = ""
    folds: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Whether the best step is ``better`` than the last one, ``the same``, or one ``cannot tell``."""
        return "the same" if self.best_against_last is None else self.best_against_last.verdict

    def to_json(self) -> dict[str, Any]:
        test = self.best_against_last
        return {
            "run": self.run,
            "selected": self.selected,
            "reason": self.reason,
            "best": self.best,
            "divergence": self.divergence,
            "best_against_last": {
                "verdict": self.verdict,
                "only_best_right": 0 if test is None else test.only_first,
                "only_last_right": 0 if test is None else test.only_second,
                "p": 1.0 if test is None else test.p,
                "method": None if test is None else test.method,
            },
            "selection": None if self.correction is None else self.correction.to_json(),
            **({"note": self.note} if self.note else {}),
            **({"folds": list(self.folds)} if self.folds else {}),
            "steps": [
                {**vars(step), "ci95": list(interval.bounds)}
                for step, interval in zip(self.steps, self.intervals, strict=True)
            ],
        }


@dataclass(frozen=True, repr=False)
class StepComparison(Result):
    """Steps of several runs on the same part of the split.

    Attributes:
        on: the part of the split.
        split: the split; None where the corpus has none.
        runs: the steps of each run.
        cautions: why the figures may mislead, and what was left out.
        n: utterances.
    """

    on: str
    split: str | None
    runs: tuple[RunSteps, ...]
    cautions: tuple[str, ...] = ()
    n: int = 0

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore steps`` prints."""
        yield from tabulate_steps(self)

    def caption(self) -> str:
        return f"steps {caption_utterances(self.on, self.split, self.n)}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each cached step, with its figures and whether it is selected."""
        return [
            {"run": run.run, **vars(score), "low": interval.low, "high": interval.high}
            | {"selected": score.step == run.selected}
            for run in self.runs
            for score, interval in zip(run.steps, run.intervals, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "on": self.on,
            "split": self.split,
            "runs": [run.to_json() for run in self.runs],
            "cautions": list(self.cautions),
        }


def steps(
    store: StoreLike,
    runs: str | Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    select: str | int | None = None,
) -> StepComparison:
    """Compare the cached steps of each run, and select one of them where asked.

    Args:
        store: a store, or its path.
        runs: names of runs. Default: every run with more than one step that predicts anything; where there is none,
            every run with one.
        on: part of the split, or ``all``. Default: with ``select``, ``valid`` where the split has it; else ``test``,
            else all.
        split: the split that ``on`` is a part of. Default: the store's default split.
        select: record one step in each run, for which the run's name then stands: ``best`` (highest accuracy),
            ``min-loss`` (lowest evaluation loss), ``divergence`` (lowest evaluation loss before it rises while the
            training loss falls), ``last``, or the number of a step. Of a run that is pooled over folds with validation
            parts, the step of each fold is selected there instead, and ``NAME-selected@0`` is the member of these.

    Returns:
        For each run its steps with accuracies and losses, the best step against the last one, and the best step's
        accuracy corrected for having been chosen.

    Raises:
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
    predicting, unread = _list_predicting(store, runs)
    names, left_out = keep_covering(store, predicting, rows, on=on)
    by_run: dict[str, list[str]] = {}
    for name in names:
        by_run.setdefault(parse_member(name)[0], []).append(name)
    for run in runs:
        if run not in by_run:
            raise StoreError(f"run {run} has no step that covers the {len(rows)} utterances of {on}: {left_out[0]}")
    if not runs and any(len(own) > 1 for own in by_run.values()):
        by_run = {run: own for run, own in by_run.items() if len(own) > 1}
    rules = {run: None if _select_in_folds(store, run, select) else select for run in by_run}
    compared = tuple(
        _compare_steps(store, run, own, on=on, rows=rows, select=rules[run]) for run, own in by_run.items()
    )
    selected = on == "test" and any(rule is not None for rule in rules.values())
    cautions = (
        *((_SELECTED_ON_TEST,) if selected else ()),
        *unread,
        *left_out,
        *caution_leakage(store, [name for own in by_run.values() for name in own], rows, chosen=False),
        *caution_absent_classes(corpus.labels[rows], corpus.classes),
        *_iter_test_cautions(corpus, rows, compared),
    )
    return StepComparison(on=on, split=split or corpus.default_split, runs=compared, cautions=cautions, n=len(rows))


def _select_in_folds(store: Store, run: str, select: str | int | None) -> bool:
    """Select the step of each fold on its validation part, if the run is pooled of folds that have one."""
    record = store.run(run)
    if not isinstance(select, str) or select not in RULES or record.details.get("valid") is None:
        return False
    runs = list_fold_runs(record)
    for one in runs.values():
        details = store.run(one).details
        steps(store, one, on=details["on"], split=details["split"], select=select)
    if runs:
        pool_selected(store, record)
    return bool(runs)


def _iter_test_cautions(corpus: Corpus, rows: NDArray[np.int32], compared: Sequence[RunSteps]) -> Iterator[str]:
    speakers = corpus.speaker_groups(rows)
    n_speakers = 0 if speakers is None else len(set(speakers.tolist()))
    is_by_speaker = n_speakers > 1 and any(run.best_against_last is not None for run in compared)
    if is_by_speaker and (few := caution_few_groups(n_speakers)):
        yield few


def _list_predicting(store: Store, runs: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return all steps that predict something, of those named or of all runs, and a line for what is damaged."""
    if not runs:
        return choose_members(store, steps="all")
    names = []
    for run in runs:
        if PLUS in run:
            raise StoreError(f"{run} is an ensemble: expected runs, which have steps; name those of its members")
        own = [member.name for member in store.members(run) if member.can_vote]
        if not own:
            raise StoreError(f"run {run} has no step that predicts anything: expected logits or labels")
        names += own
    return names, ()


def _compare_steps(
    store: Store, run: str, names: Sequence[str], *, on: str, rows: NDArray[np.int32], select: str | int | None
) -> RunSteps:
    """Return the steps of a run by the full ``names`` of their members, which cover all ``rows``."""
    corpus = store.corpus
    truth = corpus.labels[rows]
    predictions, logits = load_members(store, names, rows)
    losses = [None if own is None else compute_log_loss(truth, own) for own in logits]
    cached = [store.resolve(name)[1] for name in names]
    points = store.curves(run)
    train_losses = [(int(one["step"]), float(one["train_loss"])) for one in points if one.get("train_loss") is not None]
    scores = score_steps(truth, predictions, cached, losses, train_losses, len(corpus.classes))
    if select is not None:
        _select(store, run, scores, str(select), on)
    right = predictions == truth
    best, last = cached.index(find_best(scores).step), len(cached) - 1
    pair = [names[best], names[last]]
    record = store.run(run)
    speakers = corpus.speaker_groups(rows)
    correction, note = correct_choice(right, speakers, noun="step")
    # Of a single speaker there is none to swap steps for.
    groups = None if speakers is None or len(set(speakers.tolist())) == 1 else speakers
    return RunSteps(
        run=run,
        selected=store.selected_step(run),
        reason=record.selected.reason if record.selected else None,
        steps=tuple(scores),
        intervals=tuple(find_accuracy_intervals(right, choose_rule(speakers))),
        best=cached[best],
        divergence=find_divergence(scores),
        best_against_last=None if best == last else compare_pairs(right[[best, last]], pair, groups=groups)[0],
        correction=correction,
        note=note,
        folds=tuple(list_fold_runs(record).values()),
    )


def score_steps(
    truth: NDArray[np.integer[Any]],
    predictions: NDArray[np.integer[Any]],
    steps: Sequence[int],
    eval_losses: Sequence[float | None],
    train_losses: Sequence[tuple[int, float]],
    n_classes: int,
) -> list[StepScore]:
    """Return the scores of a run's steps, from arrays.

    Args:
        truth: ``(n,)`` class indices.
        predictions: ``(n_steps, n)`` class indices, in the order of ``steps``.
        steps: optimizer steps, ascending.
        eval_losses: mean cross-entropy in nats of each step, or None.
        train_losses: step and loss of each logging step, ascending; a score carries the last one up to its step.
        n_classes: number of classes.
    """
    scores = []
    for place, (step, predicted, eval_loss) in enumerate(zip(steps, predictions, eval_losses, strict=True)):
        evaluation = evaluate_predictions(truth, predicted, n_classes=n_classes)
        train_loss = next((loss for logged, loss in reversed(train_losses) if logged <= step), None)
        agreement = float((predicted == predictions[place - 1]).mean()) if place else None
        scores.append(
            StepScore(step, evaluation.accuracy, evaluation.balanced_accuracy, eval_loss, train_loss, agreement)
        )
    return scores


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
