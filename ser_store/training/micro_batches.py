"""How many utterances go through the model at once: those of a batch, or of a step, until memory runs out."""

from collections.abc import Callable, Mapping
from typing import Any

from ser_store.common.log import report_out_of_memory
from ser_store.inference.out_of_memory import explain_processes, explain_single, halve
from ser_store.recipes.recipe import Recipe
from ser_store.training.batches import Batches
from ser_store.training.distributed.processes import count_processes, is_main


class MicroBatches:
    """The sizes in force, in training and in evaluation.

    Attributes:
        train: utterances for each forward and backward pass of one process.
        evaluation: utterances for each forward pass of one process in evaluation.
    """

    def __init__(
        self,
        recipe: Recipe,
        batches: Batches,
        *,
        run: str,
        note: Callable[..., object],
        resolved: Mapping[str, Any] | None = None,
    ) -> None:
        resolved = resolved or {}
        self._accumulation = recipe.gradient_accumulation_steps
        self._batch = batches.largest_train
        self._run = run
        self._note = note
        size = self._batch * self._accumulation if recipe.micro_batch == "auto" else self._batch
        if isinstance(recipe.micro_batch, int):
            size = min(recipe.micro_batch, size)
        self.train: int = resolved.get("train_batch_size", size)
        self.evaluation: int = resolved.get("eval_batch_size", batches.largest_evaluated)

    def shrink_training(self, step: int) -> None:
        """Halve the micro-batch; the batches of an optimizer step, and so its gradient, stay as they are.

        Raises:
            MemoryLimitError: if it is one utterance already, or several processes train together.
        """
        if self.train == 1:
            raise explain_single(step, phase="training")
        if count_processes() > 1:
            size, self.train = self.train, halve(self.train)
            self._note(resolved=self.describe())
            raise explain_processes(step, size=size, processes=count_processes())
        self.train = halve(self.train)
        report_out_of_memory(self._run, step, phase="training", size=self.train, times=self._count_passes())
        self._note(resolved=self.describe())

    def shrink_evaluation(self, step: int, *, in_step: bool) -> None:
        """Halve the micro-batch of evaluation.

        Args:
            in_step: whether processes that evaluate together must do so in equal parts, as those that share a model do.

        Raises:
            MemoryLimitError: if it is one utterance already, or several processes have to be in step.
        """
        if self.evaluation == 1:
            raise explain_single(step, phase="evaluation")
        if in_step and count_processes() > 1:
            size, self.evaluation = self.evaluation, halve(self.evaluation)
            self._note(resolved=self.describe())
            raise explain_processes(step, size=size, processes=count_processes())
        self.evaluation = halve(self.evaluation)
        report_out_of_memory(self._run, step, phase="evaluation", size=self.evaluation)
        if is_main():
            self._note(resolved=self.describe())

    def _count_passes(self) -> int:
        if self.train < self._batch:
            return self._accumulation * -(-self._batch // self.train)
        return -(-self._accumulation // (self.train // self._batch))

    def describe(self) -> dict[str, int]:
        """What the run's record says was used; of batches filled with sound, what the largest takes."""
        processes = count_processes()
        return {
            "train_batch_size": self.train,
            "accumulation": self._count_passes(),
            "eval_batch_size": self.evaluation,
            "processes": processes,
            "effective_batch_size": self._batch * self._accumulation * processes,
        }
