"""Early stopping: training ends when the monitored part has not got better for a while."""

import math
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

LOWER_IS_BETTER = frozenset({"eval_loss"})


class EarlyStopping(TrainerCallback, ExportableState):
    """Stops when ``metric`` has not been better than its best for ``patience`` evaluations.

    Unlike the Trainer's own callback, it asks for no best checkpoint to be kept: the store has every member.
    """

    def __init__(self, *, patience: int, metric: str, note: Callable[..., object]) -> None:
        self._patience = patience
        self._metric = metric
        self._best: float | None = None
        self._best_step = 0
        self._worse = 0
        self._note = note

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved = state.stateful_callbacks[type(self).__name__]["attributes"]
        self._best, self._best_step, self._worse = saved["best"], int(saved["best_step"]), int(saved["worse"])

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        name = self._metric if self._metric.startswith("eval_") else f"eval_{self._metric}"
        value = metrics[name]
        if math.isnan(value):
            return  # diverged, which ends the training without a checkpoint
        if self._best is None or self._is_better(value, self._best):
            self._best, self._best_step, self._worse = value, state.global_step, 0
            return
        self._worse += 1
        if self._worse >= self._patience and state.global_step < state.max_steps:
            control.should_training_stop = control.should_save = True
            if state.is_world_process_zero:
                self._note(stopped_early=self._describe(state.global_step))

    def _is_better(self, value: float, best: float) -> bool:
        name = self._metric.removeprefix("eval_")
        return value < best if f"eval_{name}" in LOWER_IS_BETTER else value > best

    def _describe(self, step: int) -> dict[str, Any]:
        return {
            "step": step,
            "metric": self._metric,
            "patience": self._patience,
            "best": self._best,
            "best_step": self._best_step,
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": {"best": self._best, "best_step": self._best_step, "worse": self._worse}}
