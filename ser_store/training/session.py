"""One session of training: from its beginning, or from a checkpoint, to the end of the run or of the session."""

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainingArguments

from ser_store.audio.recordings import CorpusRecordings
from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.loading import LoadedModel
from ser_store.common.provenance import list_versions
from ser_store.corpora.splits.train_eval_rows import TrainEvalRows
from ser_store.errors import StoreError, UnknownNameError
from ser_store.heads.inputs import find_speakers
from ser_store.inference.dataset import SpeechCache, SpeechDataset
from ser_store.inference.forward import fill_frozen, stated_rounding
from ser_store.inference.frozen_states import FrozenStates
from ser_store.inference.memory import kept_heap
from ser_store.inference.out_of_memory import explain_limit, is_out_of_memory
from ser_store.inference.transforms import make_variation
from ser_store.recipes.recipe import Recipe
from ser_store.training.batches import Batches, EpochCallback, make_batches
from ser_store.training.callbacks.curves import CurveCallback, CurveWriter
from ser_store.training.callbacks.divergence import PATIENCE, DivergenceWatch, compute_chance, explain_divergence
from ser_store.training.callbacks.early_stopping import EarlyStopping
from ser_store.training.callbacks.loss_meter import LossMeter
from ser_store.training.callbacks.signals import EndingCallback
from ser_store.training.callbacks.tracking import list_trackers
from ser_store.training.checkpointing.checkpoints import (
    Checkpoint,
    choose_layout,
    find_folders,
    find_last,
    keep_last,
    refuse_other_layout,
)
from ser_store.training.checkpointing.resume import compute_training_digest
from ser_store.training.checkpointing.writer import CheckpointWriter
from ser_store.training.distributed.processes import (
    count_processes,
    find_plugin,
    find_share,
    is_lost_connection,
    is_main,
    keep_float32,
    outlive_launcher,
    refuse_sharding,
    stated_once,
    tell_all,
    wait_for_all,
)
from ser_store.training.member_cache import MemberCache
from ser_store.training.micro_batches import MicroBatches
from ser_store.training.optimizer import make_loss
from ser_store.training.preparing import copy_before_encoder, may_leave_out_weights
from ser_store.training.probe import fit_probe
from ser_store.training.request import Request
from ser_store.training.run_record import RunJournal, count_classes
from ser_store.training.trainer import MemberTrainer
from ser_store_h5.corpus import Corpus
from ser_store_h5.progress import Progress, silent
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@dataclass(frozen=True)
class Examples:
    """The utterances of a training as its model hears them.

    Attributes:
        train: those that it learns from, varied.
        evaluated: those that it is judged by, as they were recorded.
        frozen: has what the frozen layers say of all of them, or None where each pass computes it.
    """

    train: SpeechDataset
    evaluated: SpeechDataset
    frozen: FrozenStates | None = None


def make_examples(
    corpus: Corpus,
    rows: TrainEvalRows,
    *,
    audio: Path,
    feature_extractor: Any,
    recipe: Recipe,
    frozen: FrozenStates | None = None,
) -> Examples:
    """The examples of these rows; decoded at once where processes are forked to load them, for all in common."""
    recordings = CorpusRecordings(corpus, audio)
    shared = {"labels": corpus.labels, "feature_extractor": feature_extractor, "cache": SpeechCache(), "frozen": frozen}
    train = SpeechDataset(recordings, rows.train, variation=make_variation(recipe), **shared)
    examples = Examples(train, SpeechDataset(recordings, rows.evaluated, **shared), frozen)
    if frozen is None and recipe.dataloader_num_workers and multiprocessing.get_start_method() == "fork":
        examples.train.fill_cache()
        examples.evaluated.fill_cache()
    return examples


class TrainingSession:
    """Everything that trains one run, in one process of those that train it together."""

    def __init__(
        self,
        store: Store,
        request: Request,
        rows: TrainEvalRows,
        *,
        examples: Examples,
        arguments: TrainingArguments,
        loaded: LoadedModel,
        progress: Progress,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        self._store = store
        self._request = request
        self._rows = rows
        self._examples = examples
        self._arguments = arguments
        self._loaded = loaded
        self._progress = progress if is_main() else silent
        self._callbacks = callbacks
        self._checkpoints = Path(arguments.output_dir)
        self.is_taken_back = False
        self.ending = EndingCallback()
        self._speakers = find_speakers(store.corpus, rows.train) if request.recipe.is_by_speaker else None
        labels = store.corpus.labels
        self._watch = DivergenceWatch(compute_chance(labels[rows.train], labels[rows.monitored]), patience=PATIENCE)

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
        batches = make_batches(self._request.recipe, self._examples.train, self._examples.evaluated, self._speakers)
        micro_batches = MicroBatches(self._request.recipe, batches, run=run, note=journal.note, resolved=resolved)
        if is_main():
            keep_last(self._checkpoints, self._request.recipe.save_total_limit, last=start.step if start else 0)
            self._note_start(journal, begun, start, micro_batches)
        curves = CurveWriter(self._store, run, seconds=journal.seconds)
        shown = CurveCallback(curves, progress=self._progress)
        writer = CheckpointWriter(self._checkpoints, training=training, limit=self._request.recipe.save_total_limit)
        cache = MemberCache(self._store, run, self._loaded, self._rows, recipe=self._request.recipe, curves=curves)
        trainer, state = None, "failed"
        try:
            trainer = self._make_trainer(cache, batches, micro_batches, writer, shown, note=journal.note)
            with writer.waited_for():
                self._run(trainer, start)
            state = "failed" if self._watch.reason else "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            shown.close()
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

    def _make_trainer(
        self,
        cache: MemberCache,
        batches: Batches,
        micro_batches: MicroBatches,
        writer: CheckpointWriter,
        shown: CurveCallback,
        *,
        note: Callable[..., object],
    ) -> MemberTrainer:
        recipe, examples, meter = self._request.recipe, self._examples, LossMeter()
        callbacks: list[TrainerCallback] = [meter, shown, self.ending, self._watch]
        callbacks += list_trackers(self._store.path, self._request.run, recipe)
        callbacks.append(EpochCallback(examples.train, self._fill))
        patience = recipe.early_stopping_patience
        if patience is not None:
            callbacks.append(EarlyStopping(patience=patience, metric=recipe.early_stopping_metric, note=note))
        # Older checkpoints are removed by the writer: the Trainer would have one more while it writes.
        self._arguments.save_total_limit = None
        self._arguments.ddp_find_unused_parameters = may_leave_out_weights(self._loaded.model)
        return MemberTrainer(
            model=self._loaded.model,
            args=self._arguments,
            train_dataset=examples.train,
            eval_dataset=examples.evaluated,
            processing_class=self._loaded.feature_extractor,
            recipe=recipe,
            loss=make_loss(recipe, count_classes(self._store.corpus, self._rows.train)),
            on_evaluated=cache.add,
            writer=writer,
            batches=batches,
            micro_batches=micro_batches,
            meter=meter,
            callbacks=[*callbacks, *self._callbacks],
        )

    def _run(self, trainer: MemberTrainer, start: Checkpoint | None) -> None:
        if start is not None and start.is_last:
            return  # killed after the last step, before the record said so
        plugin = find_plugin(trainer.accelerator)
        with stated_once():
            if plugin is not None:
                layerdrop = self._loaded.model.backbone.config.layerdrop
                refuse_sharding(plugin, layerdrop=layerdrop, lora=self._request.recipe.lora)
            if start is not None:
                refuse_other_layout(start.folder, choose_layout(plugin))
        if plugin is not None:
            keep_float32(trainer.accelerator)
            copy_before_encoder(self._loaded.model)
        try:
            with quiet_transformers(), kept_heap(), stated_rounding(self._request.recipe.precision):
                self._fill(self._examples.evaluated)
                if start is None:
                    self._fill(self._examples.train)
                    self._begin_head()
                trainer.train(resume_from_checkpoint=None if start is None else str(start.folder))
        except Exception as problem:
            if is_lost_connection(problem):
                outlive_launcher()
            if is_out_of_memory(problem):
                raise explain_limit(trainer.state.global_step, phase="training") from problem
            raise

    def _begin_head(self) -> None:
        """Fit a linear head to the backbone as it is, on the first epoch; a dense one begins at random."""
        recipe, labels = self._request.recipe, self._store.corpus.labels[self._rows.train]
        if recipe.classification_head != "dense":
            utterances, speakers = self._examples.train, self._speakers
            fit_probe(self._loaded.model, utterances, labels, recipe, speakers, progress=self._progress)

    def _fill(self, utterances: SpeechDataset) -> None:
        """Compute what the frozen layers say of utterances, where that is kept; each process takes its share."""
        if self._examples.frozen is None:
            return
        recipe = self._request.recipe
        fill_frozen(
            self._examples.frozen,
            self._loaded.model,
            utterances,
            range(len(utterances))[find_share()],
            size=recipe.per_device_eval_batch_size,
            precision=recipe.precision,
            progress=self._progress,
        )
        wait_for_all()

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
