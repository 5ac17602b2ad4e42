"""Rules that choose one of a run's steps from its accuracies and losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import StoreError
from ser_store.metrics import evaluate_predictions
from ser_store_h5.runs import Selection

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
        agreement: share of the utterances for which this step and the one before predict the same class, in 0..1;
            None for the first step.
    """

    step: int
    accuracy: float
    balanced_accuracy: float
    eval_loss: float | None
    train_loss: float | None
    agreement: float | None = None


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


def choose_step(run: str, scores: Sequence[StepScore], rule: str, on: str) -> Selection:
    """Return the step that a rule chooses from a run's scores, ascending by step.

    Args:
        run: the run's name, for messages.
        scores: of its steps.
        rule: ``best`` (highest accuracy; of equals the earliest), ``min-loss`` (lowest evaluation loss),
            ``divergence`` (lowest evaluation loss up to :func:`find_divergence`) or ``last``.
        on: the part of the split that the scores are of; goes into the reason.

    Raises:
        StoreError: if the rule needs losses and the members have none.
    """
    if rule == "last":
        return Selection(scores[-1].step, rule, on, f"last of {len(scores)} steps")
    if rule == "best":
        best = find_best(scores)
        return Selection(best.step, rule, on, f"highest accuracy on {on}, {best.accuracy:.2%}, of {len(scores)} steps")
    known = _list_losses(scores)
    if known is None:
        raise StoreError(
            f"run {run} holds labels, not logits: expected logits for `select` {rule}; take best or a step"
        )
    if rule == "min-loss":
        place = int(known.argmin())
        return Selection(scores[place].step, rule, on, f"lowest evaluation loss on {on}, {known[place]:.3f}")
    parting = find_divergence(scores)
    end = len(scores) if parting is None else [score.step for score in scores].index(parting) + 1
    place = int(known[:end].argmin())
    reason = f"lowest evaluation loss on {on}, {known[place]:.3f}"
    after = (
        "; it did not rise while the training loss fell"
        if parting is None
        else f", before it rose twice after {parting}"
    )
    return Selection(scores[place].step, rule, on, reason + after)


def find_best(scores: Sequence[StepScore]) -> StepScore:
    """Return the step with the highest accuracy; of equals the earliest.

    >>> find_best([StepScore(100, 0.8, 0.8, None, None), StepScore(200, 0.8, 0.7, None, None)]).step
    100
    """
    return max(scores, key=lambda score: (score.accuracy, -score.step))


def find_divergence(scores: Sequence[StepScore]) -> int | None:
    """Return the step after which the evaluation loss rises while the training loss falls, or None if there is none.

    It is the last step before the evaluation loss rises at two evaluations running while the training loss does not
    rise; None too where losses are unknown. The paper reads the same off its training graphs by eye, at steps 600 to
    1,100 of 1,400.

    >>> losses = [1.0, 0.6, 0.7, 0.9]
    >>> find_divergence([StepScore(100 * n, 0.8, 0.8, loss, 1 / n) for n, loss in enumerate(losses, start=1)])
    200
    """
    losses = _list_losses(scores)
    if losses is None:
        return None
    for place in range(len(scores) - PATIENCE):
        rises = np.diff(losses[place : place + PATIENCE + 1])
        before, after = scores[place].train_loss, scores[place + PATIENCE].train_loss
        if (rises > 0).all() and (before is None or after is None or after <= before):
            return scores[place].step
    return None


def _list_losses(scores: Sequence[StepScore]) -> NDArray[np.float64] | None:
    losses: list[Any] = [score.eval_loss for score in scores]
    return None if None in losses else np.array(losses, dtype=np.float64)
