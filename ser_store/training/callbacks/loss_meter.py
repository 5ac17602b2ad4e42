"""The training loss between two logging steps, which a checkpoint in between does not forget."""

from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from ser_store.training.distributed.processes import compute_mean


class LossMeter(TrainerCallback, ExportableState):
    """Sums the losses of all batches as the Trainer does, float32, one optimizer step being one.

    The Trainer's own sum begins anew when a run is resumed, so that the first point after it would be the mean of other
    steps than in a run that went through; and it leaves out losses that are not finite. So the callbacks after this one
    find here what it logs: ``loss``, the mean over all processes of the steps before the last logging step.
    """

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._saved = 0.0
        self._since = 0

    def add(self, loss: Tensor) -> None:
        """Add one batch's share of its step's loss."""
        if self._sum is None:
            self._sum = torch.tensor(self._saved, device=loss.device)
        self._sum += loss

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved = state.stateful_callbacks[type(self).__name__]["attributes"]
        self._sum, self._saved, self._since = None, float(saved["sum"]), int(saved["since"])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = True  # the last stretch may be shorter than logging_steps
        if (control.should_log or control.should_save) and self._sum is not None:
            self._saved = compute_mean(self._sum.item(), self._sum.device)
            self._sum = None

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs:
            return
        logs.pop("train_loss", None)  # of the whole session, at its end
        if "loss" in logs:
            logs["loss"] = self._saved / max(state.global_step - self._since, 1)
            self._saved, self._since = 0.0, state.global_step

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": {"sum": self._saved, "since": self._since}}
