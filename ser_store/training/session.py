"""One session of training: from its beginning, or from a checkpoint, to the end of the run or of the session."""

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainingArguments

from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.loading import LoadedModel
from ser_store.common.provenance import list_versions
from ser_store.corpora.splits.train_eval_rows import Rows, TrainEvalRows
from ser_store.errors import StoreError, UnknownNameError
from ser_store.inference.dataset import SpeechCache, SpeechDataset
from ser_store.inference.forward import stated_rounding
from ser_store.inference.heap import kept_heap
from ser_store.inference.out_of_memory import explain_limit, is_out_of_memory
from ser_store.inference.transforms import Variation, make_variation
from ser_store.training.callbacks.curves import CurveCallback, CurveWriter
from ser_store.training.callbacks.divergence import PATIENCE, DivergenceWatch, compute_chance, explain_divergence
from ser_store.training.callbacks.early_stopping import EarlyStopping
from ser_store.training.callbacks.epochs import EpochCallback
from ser_store.training.callbacks.loss_meter import LossMeter
from ser_store.training.callbacks.tracking import list_trackers
from ser_store.training.checkpointing.checkpoints import (
    Checkpoint,
    CheckpointKeeper,
    find_folders,
    find_last,
    keep_last,
)
from ser_store.training.checkpointing.resume import Request, compute_training_digest
from ser_store.training.class_gaps import count_classes
from ser_store.training.distributed.fsdp import (
    find_plugin,
    fit_for_shards,
    is_sharded,
    keep_precision,
    may_leave_out_weights,
    reduce_each_batch,
    refuse_configuration,
    refuse_other_layout,
)
from ser_store.training.member_cache import MemberCache
from ser_store.training.micro_batches import MicroBatches
from ser_store.training.optimizer import make_loss
from ser_store.training.processes import (
    count_processes,
    is_lost_connection,
    is_main,
    outlive_launcher,
    stated_once,
    tell_all,
    wait_for_all,
)
from ser_store.training.run_record import RunJournal
from ser_store.training.signals import EndingCallback
from ser_store.training.trainer import MemberTrainer
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


class TrainingSession:
    """Everything that trains one run, in one process of those that train it together."""

    def __init__(
        self,
        store: Store,
        request: Request,
        train_eval: TrainEvalRows,
        *,
        audio: Path,
        arguments: TrainingArguments,
        loaded: LoadedModel,
        show_progress: bool,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        self._store = store
        self._request = request
        self._train_eval = train_eval
        self._audio = audio
        self._arguments = arguments
        self._loaded = loaded
        self._show_progress = show_progress
        self._callbacks = callbacks
        self._checkpoints = Path(arguments.output_dir)
        self._cache = SpeechCache()
        self.is_taken_back = False
        self.ending = EndingCallback()
        labels = store.corpus.labels
        self._close_bar: Callable[[], None] = lambda: None
        self._meter = LossMeter()
        self._watch = DivergenceWatch(
            compute_chance(labels[train_eval.train], labels[train_eval.monitored]),
            patience=PATIENCE,
            loss=lambda: self._meter.last,
        )

    def train(self, begun: RunRecord | None) -> RunRecord:
        """Train to the end; ``begun`` is the record of a run that goes on.

        Raises:
            DivergedError: if the training has diverged.
            MemoryLimitError: if a single utterance does not fit into memory.
        """
        run = self._request.run
        journal = RunJournal(self._store, run)
        begun = begun and self._store.run(run)
        training = tell_all(lambda: compute_training_digest(self._store.run(run)))
        start = tell_all(lambda: find_last(self._checkpoints, training=training)) if begun else None
        wait_for_all()
        resolved = dict(begun.details.get("resolved", {})) if begun else {}
        micro_batches = MicroBatches(self._request.recipe, run=run, note=journal.note, resolved=resolved)
        if is_main():
            keep_last(self._checkpoints, self._request.recipe.save_total_limit, last=start.step if start else 0)
            self._note_start(journal, begun, start, micro_batches)
        trainer, state = None, "failed"
        try:
            trainer = self._make_trainer(journal, micro_batches, training)
            self._run(trainer, start)
            state = "failed" if self._watch.reason else "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            self._close_bar()
            if is_main():
                done = trainer.state.global_step if trainer else 0
                # Where the disk is full, what it was that did not fit is to be said, not that this did not either.
                with suppress(*() if state == "finished" else (StoreError, UnknownNameError)):
                    self._close(journal, state, max(done, start.step if start else 0))
        wait_for_all()  # the record is complete for everybody
        if self._watch.reason:
            raise explain_divergence(run, step=self._watch.step, reason=self._watch.reason)
        return self._store.run(run)

    def _note_start(
        self, journal: RunJournal, begun: RunRecord | None, start: Checkpoint | None, micro_batches: MicroBatches
    ) -> None:
        resumed = []
        if begun is not None:
            resumed = [*begun.details.get("resumed", []), {"step": start.step if start else 0}]
            resumed[-1] |= {"seconds": round(journal.seconds(), 3), "versions": list_versions()}
        journal.note(state="running", resolved=micro_batches.describe(), **({"resumed": resumed} if resumed else {}))

    def _make_trainer(self, journal: RunJournal, micro_batches: MicroBatches, training: str) -> MemberTrainer:
        recipe = self._request.recipe
        curves = CurveWriter(self._store, self._request.run, seconds=journal.seconds)
        model = self._loaded.model
        cache = MemberCache(
            self._store, self._request.run, self._loaded, self._train_eval, recipe=recipe, curves=curves
        )
        shown = CurveCallback(curves, loss=lambda: self._meter.last, show_progress=self._show_progress)
        self._close_bar = shown.close
        keeper = CheckpointKeeper(
            self._checkpoints, training=training, limit=recipe.save_total_limit, wait_for_all=wait_for_all
        )
        callbacks = [
            self._meter,
            shown,
            self.ending,
            self._watch,
            *list_trackers(self._store.path, self._request.run, recipe, loss=lambda: self._meter.last),
            keeper,
        ]
        patience = recipe.early_stopping_patience
        if patience is not None:
            callbacks.append(EarlyStopping(patience=patience, metric=recipe.early_stopping_metric, note=journal.note))
        learned = self._make_dataset(self._train_eval.train, variation=make_variation(recipe))
        callbacks.append(EpochCallback(learned))
        # Older checkpoints are removed by the keeper: the Trainer would have one more while it writes.
        self._arguments.save_total_limit = None
        self._arguments.ddp_find_unused_parameters = may_leave_out_weights(model)
        return MemberTrainer(
            model=model,
            args=self._arguments,
            train_dataset=learned,
            eval_dataset=self._make_dataset(self._train_eval.evaluated),
            processing_class=self._loaded.feature_extractor,
            recipe=recipe,
            loss=make_loss(recipe, count_classes(self._store.corpus, self._train_eval.train)),
            on_evaluated=cache.add,
            make_room=keeper.make_room,
            micro_batches=micro_batches,
            meter=self._meter,
            callbacks=[*callbacks, *self._callbacks],
        )

    def _make_dataset(self, rows: Rows, *, variation: Variation | None = None) -> SpeechDataset:
        dataset = SpeechDataset(
            self._store.corpus,
            rows,
            audio=self._audio,
            feature_extractor=self._loaded.feature_extractor,
            variation=variation,
            cache=self._cache,
        )
        if self._request.recipe.dataloader_num_workers and multiprocessing.get_start_method() == "fork":
            dataset.fill_cache()
        return dataset

    def _run(self, trainer: MemberTrainer, start: Checkpoint | None) -> None:
        if start is not None and start.is_last:
            return  # killed after the last step, before the record said so
        with stated_once():
            refuse_configuration(find_plugin(trainer.accelerator), self._loaded.model)
            if start is not None:
                refuse_other_layout(start.folder, trainer.accelerator)
        if is_sharded(trainer.accelerator):
            keep_precision(trainer.accelerator)
            reduce_each_batch(trainer.accelerator)
            fit_for_shards(self._loaded.model)
        try:
            with quiet_transformers(), kept_heap(), stated_rounding(self._request.recipe.precision):
                trainer.train(resume_from_checkpoint=None if start is None else str(start.folder))
        except Exception as problem:
            if is_lost_connection(problem):
                outlive_launcher()
            if is_out_of_memory(problem):
                raise explain_limit(trainer.state.global_step, phase="training") from problem
            raise

    def _close(self, journal: RunJournal, state: str, steps_done: int) -> None:
        """Record how the session ended. A run that ended before it left anything is taken back, to be begun again."""
        run = self._request.run
        steps = self._store.steps(run)
        if not (steps or find_folders(self._checkpoints) or self._watch.reason or self._has_learned_limits()):
            self._store.remove(run)
            self.is_taken_back = True
            return
        done: dict[str, Any] = {"seconds": round(journal.seconds(), 3), "steps_done": steps_done}
        if self._watch.reason:
            done["diverged"] = {"step": self._watch.step, "reason": self._watch.reason}
        journal.note(state=state, **done, evaluations=len(steps))

    def _has_learned_limits(self) -> bool:
        """Whether one of several processes ran out of memory, after which all are to begin anew with smaller parts."""
        resolved, recipe = self._store.run(self._request.run).details["resolved"], self._request.recipe
        sizes = (resolved["train_batch_size"], resolved["eval_batch_size"])
        return count_processes() > 1 and sizes != (
            recipe.per_device_train_batch_size,
            recipe.per_device_eval_batch_size,
        )
