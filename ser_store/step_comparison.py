"""Comparison of a run's checkpoint steps, and the choice of one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ser_store.errors import StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation import name_part
from ser_store.metrics import compute_log_loss, evaluate_predictions
from ser_store_h5.runs import Selection
from ser_store_h5.store import Store

RULES = ("best", "divergence", "min-loss", "last")
# A rise that lasts is told from a wobble by a second one right after it.
PATIENCE = 2


@dataclass(frozen=True)
class StepScore:
    """One step of a run on one part of the split.

    Attributes:
        step: optimizer steps done.
        accuracy: in 0..1.
        balanced_accuracy: in 0..1.
        eval_loss: mean cross-entropy in nats, from the cached logits; None for members known by labels only.
        train_loss: the last one logged up to this step; None if none was.
    """

    step: int
    accuracy: float
    balanced_accuracy: float
    eval_loss: float | None
    train_loss: float | None


@dataclass(frozen=True)
class RunSteps:
    """All steps of a run, ascending, and the one its name stands for."""

    run: str
    selected: int
    reason: str | None
    steps: tuple[StepScore, ...]


@dataclass(frozen=True)
class StepComparison:
    """Steps of several runs on the same part of the split."""

    on: str
    runs: tuple[RunSteps, ...]

    def to_json(self) -> dict[str, Any]:
        runs = [{**vars(run), "steps": [vars(step) for step in run.steps]} for run in self.runs]
        return {"on": self.on, "runs": runs}


def steps(
    store: Store,
    runs: Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    select: str | None = None,
) -> StepComparison:
    """Accuracies and losses of every cached step, and, where asked, the selection of one step for each run.

    Args:
        runs: default: every run with more than one predicting step; where there is none, every predicting run.
        on: default: with ``select``, ``valid`` where the split has it; else as for evaluation.
        select: ``best`` (highest accuracy; of equals the earliest), ``min-loss`` (lowest evaluation loss),
            ``divergence`` (the step with the lowest evaluation loss before it rises twice running while the training
            loss falls), ``last``, or a step. Recorded in the run, with its reason.

    Raises:
        StoreError: if there is nothing to compare, or a run lacks the step to be selected.
    """
    corpus = store.corpus
    if on is None and select is not None and corpus.splits and "valid" in corpus.part_names(split):
        on = "valid"
    on = name_part(corpus, on, split)
    names = [store.run(run).run for run in runs] or _default_runs(store)
    compared = []
    for run in names:
        scores = score_steps(store, run, on=on, split=split)
        if select is not None:
            _select(store, run, scores, select, on)
        record = store.run(run)
        reason = record.selected.reason if record.selected else None
        compared.append(RunSteps(run=run, selected=store.selected_step(run), reason=reason, steps=tuple(scores)))
    return StepComparison(on=on, runs=tuple(compared))


def _default_runs(store: Store) -> list[str]:
    predicting = {run: [m for m in store.members(run) if m.can_vote] for run in store.runs()}
    several = [run for run, members in predicting.items() if len(members) > 1]
    chosen = several or [run for run, members in predicting.items() if members]
    if not chosen:
        raise StoreError(
            f"{store.path} has no member that predicts anything: make some with `serstore finetune` or "
            "`serstore import`"
        )
    return chosen


def score_steps(store: Store, run: str, *, on: str, split: str | None = None) -> list[StepScore]:
    """Every predicting step of a run on one part of the split, ascending."""
    corpus = store.corpus
    rows = corpus.rows(on, split=split)
    truth = corpus.labels[rows]
    logged = [(int(point["step"]), float(point["train_loss"])) for point in store.curves(run) if "train_loss" in point]
    scores = []
    for member in store.members(run):
        if not member.can_vote:
            continue
        evaluation = evaluate_predictions(
            truth, store.predictions([member.name], rows)[0], n_classes=len(corpus.classes)
        )
        eval_loss = None
        if member.logits is not None:
            eval_loss = compute_log_loss(truth, store.logits([member.name], rows)[0])
        train_loss = max(((step, loss) for step, loss in logged if step <= member.step), default=(0, None))[1]
        scores.append(StepScore(member.step, evaluation.accuracy, evaluation.balanced_accuracy, eval_loss, train_loss))
    if not scores:
        raise StoreError(f"run {run} has no step that predicts anything: expected logits or labels")
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


def choose_step(run: str, scores: Sequence[StepScore], rule: str, on: str) -> Selection:
    """The step that a rule chooses from a run's scores, ascending by step.

    Raises:
        StoreError: if the rule needs losses and the members have none.
    """
    if rule == "last":
        return Selection(scores[-1].step, rule, on, f"last of {len(scores)} steps")
    if rule == "best":
        best = max(scores, key=lambda score: (score.accuracy, -score.step))
        return Selection(best.step, rule, on, f"highest accuracy on {on}, {best.accuracy:.2%}, of {len(scores)} steps")
    losses = [score.eval_loss for score in scores]
    if any(loss is None for loss in losses):
        raise StoreError(f"run {run} holds labels, not logits: expected logits for --select {rule}; use best or a step")
    known = np.array(losses, dtype=np.float64)
    if rule == "min-loss":
        place = int(known.argmin())
        return Selection(scores[place].step, rule, on, f"lowest evaluation loss on {on}, {known[place]:.3f}")
    end = _find_divergence(scores, known)
    place = int(known[: end + 1].argmin())
    if end < len(known) - 1:
        reason = f"lowest evaluation loss on {on}, {known[place]:.3f}, before it rose twice after {scores[end].step}"
    else:
        reason = f"lowest evaluation loss on {on}, {known[place]:.3f}; it never parted from the training loss"
    return Selection(scores[place].step, rule, on, reason)


def _find_divergence(scores: Sequence[StepScore], eval_losses: np.ndarray[Any, Any]) -> int:
    """Place of the last step before the evaluation loss rises twice running while the training loss does not."""
    for place in range(len(scores) - PATIENCE):
        rises = np.diff(eval_losses[place : place + PATIENCE + 1])
        before, after = scores[place].train_loss, scores[place + PATIENCE].train_loss
        if (rises > 0).all() and (before is None or after is None or after <= before):
            return place
    return len(scores) - 1
