"""The Hugging Face Trainer, with three additions.

What an evaluation pass computed is handed on before it is forgotten, a batch that does not fit into memory is taken in
smaller parts, or all batches of a step together where they do, and no utterance is learned from twice in an epoch.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import EvalLoopOutput

from ser_store.common.log import report_endless_warmup
from ser_store.inference.dataset import collate_speech
from ser_store.inference.out_of_memory import (
    Batch,
    count_utterances,
    free_memory,
    is_out_of_memory,
    iter_parts,
    join_batches,
    sort_by_length,
    take_utterances,
)
from ser_store.recipes.recipe import Recipe
from ser_store.training.batches import Batches, LengthGroupedSampler, LongestFirstSampler, make_deal
from ser_store.training.callbacks.loss_meter import LossMeter
from ser_store.training.checkpointing.saving import CheckpointingTrainer
from ser_store.training.distributed.processes import count_processes, is_sharded
from ser_store.training.micro_batches import MicroBatches
from ser_store.training.optimizer import Loss, make_optimizer_groups

OnEvaluated = Callable[..., dict[str, float]]
# A batch or a part of one, and the factor on its mean loss.
Piece = tuple[Batch, float | Tensor]


class MemberTrainer(CheckpointingTrainer):
    """Hands step, rows (m,) int32, logits (m, c) and pooled (m, d) float32 of each evaluation to ``on_evaluated``.

    Rows are ascending, whatever order or process the utterances were evaluated in. ``on_evaluated`` is called alike in
    all processes, with the ``weights`` that were evaluated, and returns the metrics of the pass.

    What the Trainer calls a batch stays as it is, and with it the order of the utterances and the optimizer steps, when
    memory runs out: the batch is computed in parts of ``micro_batches`` utterances whose gradients add up to its own.
    Where the recipe says so, those of a step are held until its last has come, and as many pass at once as may.
    """

    optimizer: Any

    def __init__(
        self,
        *,
        recipe: Recipe,
        loss: Loss,
        on_evaluated: OnEvaluated,
        batches: Batches,
        micro_batches: MicroBatches,
        meter: LossMeter,
        **arguments: Any,
    ) -> None:
        super().__init__(data_collator=collate_speech, **arguments)
        self._recipe = recipe
        self._loss = loss
        self._on_evaluated = on_evaluated
        self._filled = batches
        self._micro_batches = micro_batches
        self._meter = meter
        self._deal = make_deal(recipe, len(self.train_dataset), processes=count_processes())
        # The batches of the optimizer step that is under way, those together that may be computed together.
        self._groups: list[list[Piece]] = []
        self._groups_step = -1
        self._pass: Sequence[Piece] = ()
        self._eval_order: LongestFirstSampler | None = None
        # Both write to stdout, which belongs to the command's result.
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        has_rates = self._recipe.layer_decay != 1 or self._recipe.head_learning_rate is not None
        if has_rates and self.optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            self.optimizer = kind(make_optimizer_groups(self.model, self._recipe), **options)
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        warmup = self.args.get_warmup_steps(num_training_steps)
        if warmup >= num_training_steps > 1 and self.args.process_index == 0:
            report_endless_warmup(warmup, num_training_steps)
        return super().create_scheduler(num_training_steps, optimizer)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Utterances of similar length together, where the recipe asks for it."""
        if not self._recipe.group_by_length:
            return super()._get_train_sampler(train_dataset)
        recipe, processes = self._recipe, count_processes()
        size = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps * processes
        return LengthGroupedSampler(self.train_dataset, batch_size=size, seed=recipe.seed)

    def get_train_dataloader(self) -> Any:
        """Batches of a number of utterances, or filled with sound."""
        filled = self._filled.train
        return super().get_train_dataloader() if filled is None else self._load_filled(self.train_dataset, filled)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """Batches of a number of utterances, or filled with sound."""
        filled = self._filled.evaluated
        return super().get_eval_dataloader() if filled is None else self._load_filled(self.eval_dataset, filled)

    def _load_filled(self, dataset: Any, batches: Any) -> Any:
        workers, pinned = self.args.dataloader_num_workers, self.args.dataloader_pin_memory
        options = {"collate_fn": self.data_collator, "num_workers": workers, "pin_memory": pinned}
        return self.accelerator.prepare(DataLoader(dataset, batch_sampler=batches, **options))

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        """By length: what comes out for an utterance does not depend on the batch that it is in."""
        if self._eval_order is None:
            self._eval_order = LongestFirstSampler(eval_dataset)
        return self._eval_order

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One batch forth and back; where memory runs out, again in parts, with all batches of the optimizer step."""
        if self._groups_step != self.state.global_step:
            self._groups, self._groups_step = [], self.state.global_step
        batch = self._leave_out_repeated(inputs, place=sum(map(len, self._groups)))
        if self._groups and self._are_held:
            self._groups[-1].append(batch)
        else:
            self._groups.append([batch])
        if self._are_held and not self.accelerator.sync_gradients:
            return torch.zeros((), device=self.args.device)
        loss = self._try_groups(model, self._groups[-1:], num_items_in_batch)
        while loss is None:
            self._micro_batches.shrink_training(self.state.global_step)
            # The attempt that failed may have left half of its gradients behind.
            model.zero_grad()
            loss = self._try_groups(model, self._groups, num_items_in_batch)
        self._meter.add(loss)
        return loss

    @property
    def _are_held(self) -> bool:
        """Whether batches wait for the last of their optimizer step."""
        return self._recipe.micro_batch == "auto"

    def _leave_out_repeated(self, batch: Batch, *, place: int) -> Piece:
        """A batch without what its epoch has had before, and the factor on its loss; one utterance is left, with 0."""
        if self._deal.processes == 1:
            return batch, 1.0
        where = {"step": self.state.global_step, "place": place, "process": self.args.process_index}
        own = self._deal.count_own(**where)
        return take_utterances(batch, 0, max(own, 1)), self._deal.weigh(**where)

    def _try_groups(self, model: Any, groups: list[list[Piece]], num_items_in_batch: Any) -> Tensor | None:
        """The loss of the last of the groups; None if memory ran out."""
        try:
            for group in groups:
                loss = self._train_in_passes(model, group, num_items_in_batch)
            return loss
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
        # Only here the traceback is gone, and with it what it held in memory.
        free_memory()
        self.writer.wait()
        return None

    def _train_in_passes(self, model: Any, group: list[Piece], num_items_in_batch: Any) -> Tensor:
        passes = self._cut(group)
        losses = []
        for place, self._pass in enumerate(passes):
            is_last = place == len(passes) - 1
            inputs = join_batches([batch for batch, _ in self._pass])
            # Gradients are exchanged between processes once for each batch, but not gathered for it in one of them.
            with nullcontext() if is_last or is_sharded(self.accelerator) else self.accelerator.no_sync(model):
                losses.append(super().training_step(model, inputs, num_items_in_batch))
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _cut(self, group: list[Piece]) -> list[list[Piece]]:
        """Batches in passes that fit into memory: parts of one, or as many as may be.

        Processes that share a model are in as many passes each, however many utterances are left to one of them: what
        it has no utterances for, it computes for the others' sake, with 0.
        """
        size, passes = self._micro_batches.train, list[list[Piece]]()
        for piece in (piece for batch, weight in group for piece in self._split(batch, weight)):
            if passes and sum(count_utterances(one) for one, _ in [*passes[-1], piece]) <= size:
                passes[-1].append(piece)
            else:
                passes.append([piece])
        if is_sharded(self.accelerator):
            count = -(-self._recipe.per_device_train_batch_size // size)
            passes += [[(take_utterances(group[0][0], 0, 1), 0.0)]] * (count - len(passes))
        return passes

    def _split(self, batch: Batch, weight: float | Tensor) -> list[Piece]:
        size = self._micro_batches.train
        if count_utterances(batch) <= size:
            return [(batch, weight)]
        parts = iter_parts(sort_by_length(batch), size)
        whole = self._loss.weigh(batch["labels"])
        return [(part, weight * self._loss.weigh(part["labels"]) / whole) for part in parts]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if model.training:
            counts = [count_utterances(batch) for batch, _ in self._pass]
            parts = zip(outputs["logits"].split(counts), inputs["labels"].split(counts), self._pass, strict=True)
            loss = sum(self._loss(logits, labels) * share for logits, labels, (_, share) in parts)
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> Any:
        """Logits and pooled representations of a batch; where memory runs out, again in parts."""
        while True:
            try:
                parts = iter_parts(inputs, self._micro_batches.evaluation)
                said = [super(MemberTrainer, self).prediction_step(model, part, False, ignore_keys) for part in parts]
                return _join(said)
            except Exception as problem:
                if not is_out_of_memory(problem):
                    raise
            free_memory()
            self._micro_batches.shrink_evaluation(self.state.global_step, in_step=is_sharded(self.accelerator))

    def evaluation_loop(self, *arguments: Any, **keywords: Any) -> EvalLoopOutput:
        self.writer.wait()
        keywords["prediction_loss_only"] = False
        with parametrize.cached():  # what LoRA adds is added once
            output = super().evaluation_loop(*arguments, **keywords)
        logits, pooled = output.predictions
        _, rows = output.label_ids
        # Processes that ran out of utterances before the others were given some a second time.
        rows, first = np.unique(rows.astype(np.int32), return_index=True)
        metrics = self._on_evaluated(
            self.state.global_step,
            rows,
            np.ascontiguousarray(logits[first], dtype=np.float32),
            np.ascontiguousarray(pooled[first], dtype=np.float32),
            weights=self.copy_weights(),
        )
        return EvalLoopOutput(
            predictions=None, label_ids=None, metrics=output.metrics | metrics, num_samples=output.num_samples
        )


def _join(said: list[Any]) -> Any:
    """The prediction steps of a batch's parts as one."""
    if len(said) == 1:
        return said[0]
    losses, outputs, labels = zip(*said, strict=True)

    def join(parts: Any) -> tuple[Tensor, ...]:
        return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))

    return torch.stack(losses).mean(), join(outputs), join(labels)
