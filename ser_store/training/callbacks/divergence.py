"""Divergence: a training that is not one any more, or never became one, is reported as such and not as a result."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from ser_store.errors import DivergedError

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Patience:
    """How long a run may stay at chance: all three must have passed.

    Attributes:
        evaluations: evaluations in a row.
        share: part of all planned steps from which on they are given up.
        steps: optimizer steps from which on they are given up.
    """

    evaluations: int = 5
    share: float = 0.5
    steps: int = 200


PATIENCE = Patience()


@dataclass(frozen=True)
class Chance:
    """What a constant answer achieves.

    Attributes:
        accuracy: the share of the most frequent class in the monitored part, 0 to 1.
        loss: the entropy of the training labels in nats, which is the lowest loss of a constant answer.
        n: utterances in the monitored part.
    """

    accuracy: float
    loss: float
    n: int


def compute_chance(train_labels: NDArray[Any], monitored_labels: NDArray[Any]) -> Chance:
    """What a constant answer achieves on these labels, given as class indices."""
    shares = np.bincount(train_labels) / len(train_labels)
    shares = shares[shares > 0]
    most = int(np.bincount(monitored_labels).max())
    return Chance(most / len(monitored_labels), float(-(shares * np.log(shares)).sum()), len(monitored_labels))


def compute_upper_tail(correct: int, n: int, p: float) -> float:
    """P(X ≥ ``correct``) for X binomial with ``n`` trials of probability ``p``, exactly."""
    if correct <= 0 or p >= 1:
        return 1.0
    logs = (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(correct, n + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def is_at_chance(accuracy: float, chance: Chance) -> bool:
    """Whether so many right answers are no better than a constant answer, by the exact one-sided binomial test."""
    return compute_upper_tail(round(accuracy * chance.n), chance.n, chance.accuracy) > SIGNIFICANCE


class DivergenceWatch(TrainerCallback, ExportableState):
    """Ends a training that has diverged, before it evaluates or saves what came of it.

    A run stays at chance while the accuracy of the monitored part is not above that of a constant answer
    (:func:`is_at_chance`) and the mean training loss has not fallen 1% below that of one. Evaluations within the
    warm-up do not count.
    """

    def __init__(self, chance: Chance, *, patience: Patience) -> None:
        self._chance = chance
        self._patience = patience
        self._evaluations = 0
        self._losses: list[float] = []
        self.reason: str | None = None
        self.step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved = state.stateful_callbacks[type(self).__name__]["attributes"]
        self._evaluations, self._losses = int(saved["evaluations"]), list(saved["losses"])

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            self._give_up(state, control, f"the training loss is {loss}")
        self._losses.append(loss)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        if not math.isfinite(metrics["eval_loss"]):
            self._give_up(state, control, "the logits are not finite")
        elif state.global_step > args.get_warmup_steps(state.max_steps):
            self._count(state, control, metrics["eval_accuracy"])

    def _count(self, state: Any, control: Any, accuracy: float) -> None:
        learned = bool(self._losses) and float(np.mean(self._losses)) < 0.99 * self._chance.loss
        if learned or not is_at_chance(accuracy, self._chance):
            self._evaluations, self._losses = 0, []
            return
        self._evaluations += 1
        long = max(self._patience.steps, self._patience.share * state.max_steps)
        if self._evaluations >= self._patience.evaluations and state.global_step >= long:
            self._give_up(
                state,
                control,
                f"{self._evaluations} evaluations in a row were at chance, the last with an accuracy of {accuracy:.1%} "
                f"where a constant answer has {self._chance.accuracy:.1%}",
            )

    def _give_up(self, state: Any, control: Any, reason: str) -> None:
        self.reason, self.step = reason, state.global_step
        control.should_training_stop = True
        control.should_evaluate = control.should_save = False

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": {"evaluations": self._evaluations, "losses": self._losses}}


def explain_divergence(run: str, *, step: int, reason: str) -> DivergedError:
    """The one line that a diverged run ends with."""
    return DivergedError(
        f"run {run} diverged at step {step}: {reason}; its members before that are kept. Expected a run that learns: "
        "try a smaller `learning_rate` or more `warmup_steps`, with another `run` NAME or after `rm()` of this one"
    )
