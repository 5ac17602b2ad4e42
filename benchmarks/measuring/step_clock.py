"""A clock that a training carries: what its steps, its evaluation and its checkpoint take, and on which batches."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from transformers import TrainerCallback


@dataclass(frozen=True)
class Batch:
    """One forward pass of training: ``utterances``, each padded to ``samples``, and how many layers were run."""

    utterances: int
    samples: int
    layers: int


@dataclass(frozen=True)
class Stretch:
    """Some optimizer steps in a row: all from asking for the first batch to the last update of the weights.

    Attributes:
        seconds: that they took.
        batches: their forward passes.
        labels: class indices of all their utterances, in the order of training.
    """

    seconds: float
    batches: tuple[Batch, ...]
    labels: tuple[int, ...]

    @property
    def utterances(self) -> int:
        return sum(batch.utterances for batch in self.batches)


@dataclass(frozen=True)
class Way:
    """One way to train, as it was measured.

    Attributes:
        stretches: in the order of the training; the first warms up.
        losses: mean training loss of each stretch.
        evaluation_seconds: of the last evaluation, which comes after the last step.
        saving_seconds: of the checkpoint after it.
        startup_seconds: from being asked for to the first step.
    """

    stretches: tuple[Stretch, ...]
    losses: tuple[float, ...]
    evaluation_seconds: float
    saving_seconds: float
    startup_seconds: float

    @property
    def utterances_per_second(self) -> float:
        """The median of the stretches but the first."""
        return median(stretch.utterances / stretch.seconds for stretch in self.stretches[1:])


class StepClock(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Times stretches of ``steps`` optimizer steps. It has to be the last callback, and losses to be logged as often.

    An accelerator is waited for at the end of each stretch only, so that within one the steps overlap as they do in any
    other training.

    Args:
        after_stretch: is called with the clock stopped.
    """

    def __init__(self, steps: int, *, after_stretch: Callable[[], None]) -> None:
        self._steps = steps
        self._after_stretch = after_stretch
        self._asked = self._started = self._evaluated = time.perf_counter()
        self._stretches: list[Stretch] = []
        self._losses: list[float] = []
        self._batches: list[Batch] = []
        self._labels: list[torch.Tensor] = []
        self._layers = 0
        self._hooks: list[Any] = []
        self._evaluation = self._saving = self._startup = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self._hooks = [model.register_forward_hook(self._note_batch, with_kwargs=True)]
        self._hooks += [layer.register_forward_hook(self._note_layer) for layer in model.backbone.encoder.layers]
        self._started = time.perf_counter()
        self._startup = self._started - self._asked

    def _note_layer(self, layer: Any, *_: Any) -> None:
        self._layers += 1

    def _note_batch(self, model: Any, _: Any, inputs: dict[str, Any], output: Any) -> None:
        if model.training:
            utterances, samples = inputs["input_values"].shape
            self._batches.append(Batch(utterances, samples, self._layers))
            # Read once the clock has stopped, since it would make an accelerator be waited for.
            self._labels.append(inputs["labels"])
        self._layers = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self._steps:
            return
        seconds = read_clock() - self._started
        self._stretches.append(Stretch(seconds, tuple(self._batches), tuple(torch.cat(self._labels).tolist())))
        self._batches, self._labels = [], []
        self._after_stretch()
        self._started = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self._losses.append(float(logs["loss"]))

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._evaluated = read_clock()
        self._evaluation = self._evaluated - self._started
        self._started = time.perf_counter()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._saving = read_clock() - self._evaluated

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for hook in self._hooks:
            hook.remove()

    def read(self) -> Way:
        """What was measured, when the training is over."""
        return Way(tuple(self._stretches), tuple(self._losses), self._evaluation, self._saving, self._startup)


def read_clock() -> float:
    """Seconds, once an accelerator has done what it was asked for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
