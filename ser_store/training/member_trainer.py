"""The Hugging Face Trainer, with one addition: what an evaluation pass computed is handed on before it is forgotten."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import EvalLoopOutput

from ser_store.progress import open_bar
from ser_store.training.speech_dataset import collate_speech

OnEvaluated = Callable[[int, NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]], dict[str, float]]


class MemberTrainer(Trainer):
    """Hands step, rows (m,) int32, logits (m, c) and pooled (m, d) float32 of each evaluation to ``on_evaluated``.

    Rows are ascending, whatever order or process the utterances were evaluated in. ``on_evaluated`` returns the
    metrics of the pass; it is called on the main process only.
    """

    def __init__(self, *, on_evaluated: OnEvaluated, **arguments: Any) -> None:
        super().__init__(data_collator=collate_speech, **arguments)
        self._on_evaluated = on_evaluated
        # Both write to stdout, which belongs to the command's result.
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)

    def evaluation_loop(self, *arguments: Any, **keywords: Any) -> EvalLoopOutput:
        keywords["prediction_loss_only"] = False
        output = super().evaluation_loop(*arguments, **keywords)
        logits, pooled = output.predictions
        _, rows = output.label_ids
        rows, first = np.unique(rows.astype(np.int32), return_index=True)
        metrics: dict[str, float] = {}
        if self.is_world_process_zero():
            metrics = self._on_evaluated(
                self.state.global_step,
                rows,
                np.ascontiguousarray(logits[first], dtype=np.float32),
                np.ascontiguousarray(pooled[first], dtype=np.float32),
            )
        return EvalLoopOutput(
            predictions=None, label_ids=None, metrics=output.metrics | metrics, num_samples=output.num_samples
        )


class CurveCallback(TrainerCallback):
    """Writes the training loss to the run's curves and moves a progress bar."""

    def __init__(self, append: Callable[..., None], *, seconds: Callable[[], float], show_progress: bool) -> None:
        self._append = append
        self._seconds = seconds
        self._show_progress = show_progress
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._show_progress and state.is_world_process_zero:
            self._bar = open_bar(total=state.max_steps, label="training", unit="step")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)
        if state.global_step >= state.max_steps:
            control.should_log = True  # the last stretch may be shorter than logging_steps

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs or not state.is_world_process_zero:
            return
        self._append(
            step=state.global_step,
            epoch=logs.get("epoch"),
            train_loss=float(logs["loss"]),
            learning_rate=float(logs["learning_rate"]),
            grad_norm=float(logs["grad_norm"]) if "grad_norm" in logs else None,
            seconds=round(self._seconds(), 3),
        )

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **_: Any
    ) -> None:
        if self._bar is not None and metrics:
            self._bar.set_postfix(accuracy=f"{metrics.get('eval_accuracy', float('nan')):.3f}", refresh=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._bar is not None:
            self._bar.close()
