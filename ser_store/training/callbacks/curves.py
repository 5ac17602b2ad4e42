"""The curves of a run while it is trained: one line for each logging and each evaluation step, none of them twice."""

from collections.abc import Callable
from functools import partial
from typing import Any

from transformers import TrainerCallback

from ser_store_h5.progress import Progress, bar, open_bar, silent
from ser_store_h5.store import Store


class CurveWriter:
    """Appends points to a run's curves, and leaves out those that a killed run had written before it was resumed."""

    def __init__(self, store: Store, run: str, *, seconds: Callable[[], float]) -> None:
        self._store = store
        self._run = run
        self._seconds = seconds
        self._written = {(point.get("step"), "train_loss" in point) for point in store.curves(run)}

    def append_logging(self, *, step: int, **values: Any) -> None:
        """A point of the training loss."""
        self._append(step, is_logging=True, values=values)

    def append_evaluation(self, *, step: int, **values: Any) -> None:
        """A point of the monitored part."""
        self._append(step, is_logging=False, values=values)

    def _append(self, step: int, *, is_logging: bool, values: dict[str, Any]) -> None:
        if (step, is_logging) in self._written:
            return
        self._store.append_curve(self._run, step=step, **values, seconds=round(self._seconds(), 3))
        self._written.add((step, is_logging))


def read_seconds(points: list[dict[str, Any]]) -> float:
    """How long a run had been trained when its last point was written; 0 where there is none."""
    return max((float(point.get("seconds") or 0.0) for point in points), default=0.0)


class _Steps:
    """The steps of a training as the items of a ``Progress``, with the methods of a bar."""

    def __init__(self, progress: Progress, *, total: int, label: str, unit: str, done: int) -> None:
        self.n = done
        self._steps = iter(progress(range(done, total), total=total, label=label))
        next(self._steps, None)  # a step is over when the next one is asked for

    def update(self, count: int) -> None:
        self.n += count
        for _ in range(count):
            next(self._steps, None)

    def set_postfix(self, **_: Any) -> None:
        """Figures are shown by a bar alone."""

    def close(self) -> None:
        self._steps = iter(())  # a generator ends with its last reference


class CurveCallback(TrainerCallback):
    """Writes the training loss to the run's curves and moves a progress bar, in the main process."""

    def __init__(self, writer: CurveWriter, *, progress: Progress) -> None:
        self._writer = writer
        self._progress = progress
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._progress is silent:
            return
        opened = open_bar if self._progress is bar else partial(_Steps, self._progress)
        self._bar = opened(total=state.max_steps, label="training", unit="step", done=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs or not state.is_world_process_zero:
            return
        self._writer.append_logging(
            step=state.global_step,
            epoch=logs.get("epoch"),
            train_loss=float(logs["loss"]),
            learning_rate=float(logs["learning_rate"]),
            grad_norm=float(logs["grad_norm"]) if "grad_norm" in logs else None,
        )

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **_: Any
    ) -> None:
        if self._bar is not None and metrics:
            self._bar.set_postfix(accuracy=f"{metrics.get('eval_accuracy', float('nan')):.3f}", refresh=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away, however training ended."""
        if self._bar is not None:
            self._bar.close()
