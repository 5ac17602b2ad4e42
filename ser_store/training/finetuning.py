"""Fine-tuning: a run begins, the Trainer trains it, and every evaluation leaves a member in the store."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import TrainingArguments

from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.digest import compute_model_digest
from ser_store.backbones.loading import LoadedModel, build_model
from ser_store.errors import SerstoreError
from ser_store.metrics import compute_log_loss, evaluate_predictions
from ser_store.pooled import narrow_pooled
from ser_store.provenance import compute_audio_digest, describe_hardware, list_versions
from ser_store.recordings import resolve_audio
from ser_store.reports import report_keys
from ser_store.sides import Rows, Sides, choose_sides
from ser_store.training.inference import exact_convolutions
from ser_store.training.member_trainer import CurveCallback, MemberTrainer
from ser_store.training.recipe import Recipe
from ser_store.training.speech_dataset import PREPROCESSING, SpeechDataset
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


def finetune(
    store: Store,
    model: str,
    *,
    run: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    recipe: Recipe | None = None,
    init: str = "pretrained",
    checkpoint: Path | None = None,
    audio: Path | None = None,
    checkpoints: Path | None = None,
    show_progress: bool = False,
) -> RunRecord:
    """Train all parameters of a backbone and its head, and cache a member at every evaluation.

    Args:
        store: gains the run and its members.
        model: key of the catalogue, hub id, or local folder.
        run: the run's name. Default: the key, or the last part of hub id or folder.
        split: default: the corpus' default split.
        fold: the fold to evaluate, for splits into folds.
        recipe: default: the published one.
        init: ``pretrained`` or ``random``.
        checkpoint: a folder with pretrained weights, instead of the hub.
        audio: the folder of the recordings, where it is not the one the corpus was made from.
        checkpoints: where model checkpoints go. Default: ``checkpoints/`` in the run's folder.

    Returns:
        The finished run's record.

    Raises:
        ExistsError: if the store has a run of this name.
        ModelError: if the backbone cannot be loaded.
        AudioError: naming the recording that cannot be read; the run keeps what was cached until then.
    """
    recipe = recipe or Recipe()
    corpus = store.corpus
    sides = choose_sides(corpus, split=split, fold=fold)
    folder = resolve_audio(corpus, audio)
    run = run or Path(model).name
    store.refuse_run(run)
    loaded = build_model(
        model, classes=corpus.classes, pooling=recipe.pooling, init=init, checkpoint=checkpoint, seed=recipe.seed
    )
    report_keys(loaded.backbone_key, missing=loaded.missing_keys, unused=loaded.unused_keys)
    if recipe.gradient_checkpointing:
        # Renamed in the course of transformers 5; without arguments both names do the same.
        model_type: Any = type(loaded.model)
        getattr(model_type, "activation_checkpointing_enable", model_type.gradient_checkpointing_enable)(loaded.model)
    checkpoints = checkpoints or store.run_folder(run) / "checkpoints"
    arguments = build_training_arguments(recipe, checkpoints)
    record = RunRecord(
        run=run,
        kind="finetune",
        backbone=loaded.backbone_key,
        state="running",
        details={
            "split": split or corpus.default_split,
            "fold": fold,
            "on": sides.on,
            "n_train": len(sides.train),
            "n_evaluated": len(sides.evaluated),
            "recipe": recipe.to_json(),
            "origin": loaded.origin,
            "missing_keys": list(loaded.missing_keys),
            "unused_keys": list(loaded.unused_keys),
            "checkpoints": str(checkpoints.resolve()),
            "versions": list_versions(),
            "hardware": describe_hardware(),
        },
    )
    store.add_run(record)
    return _train(store, record, loaded, sides, recipe, folder, arguments, show_progress)


def _train(
    store: Store,
    record: RunRecord,
    loaded: LoadedModel,
    sides: Sides,
    recipe: Recipe,
    folder: Path,
    arguments: TrainingArguments,
    show_progress: bool,
) -> RunRecord:
    started = time.perf_counter()

    def seconds() -> float:
        return time.perf_counter() - started

    def data(rows: Rows) -> SpeechDataset:
        return SpeechDataset(store.corpus, rows, audio=folder, feature_extractor=loaded.feature_extractor)

    cache = MemberCache(store, record.run, loaded, sides, recipe, seconds)
    trainer = MemberTrainer(
        model=loaded.model,
        args=arguments,
        train_dataset=data(sides.train),
        eval_dataset=data(sides.evaluated),
        processing_class=loaded.feature_extractor,
        on_evaluated=cache.add,
        callbacks=[
            CurveCallback(
                lambda **point: store.append_curve(record.run, **point), seconds=seconds, show_progress=show_progress
            )
        ],
    )
    state = "failed"
    try:
        with quiet_transformers(), exact_convolutions(recipe.precision):
            trainer.train()
            if trainer.state.global_step not in store.steps(record.run):
                trainer.evaluate()
        state = "finished"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        done = {"seconds": round(seconds(), 3), "steps_done": trainer.state.global_step}
        record = record.updated(state=state, **done, evaluations=cache.evaluations)
        _close(store, record, Path(arguments.output_dir))
    return record


def _close(store: Store, record: RunRecord, checkpoints: Path) -> None:
    """Record how the run ended. One that ended before it left anything is taken back, so that it can be begun again."""
    if store.steps(record.run) or any(checkpoints.glob("checkpoint-*")):
        store.update_run(record)
    else:
        store.remove(record.run)


class MemberCache:
    """Turns one evaluation pass into a member of the store and a point of the run's curves."""

    def __init__(self, store: Store, run: str, loaded: LoadedModel, sides: Sides, recipe: Recipe, seconds: Any) -> None:
        self._store = store
        self._run = run
        self._loaded = loaded
        self._sides = sides
        self._recipe = recipe
        self._seconds = seconds
        self.evaluations = 0

    def add(self, step: int, rows: Rows, logits: NDArray[np.float32], pooled: NDArray[np.float32]) -> dict[str, float]:
        """Write the member ``run@step``; returns loss and accuracies of the monitored part."""
        corpus = self._store.corpus
        provenance = {
            "source": "evaluation pass while training",
            "model_digest": compute_model_digest(self._loaded.model),
            "audio_digest": compute_audio_digest(corpus, rows),
            "preprocessing": PREPROCESSING,
            "pooling": self._recipe.pooling,
            "precision": self._recipe.precision,
        }
        member = Member(self._run, step, rows, logits=logits, pooled=narrow_pooled(pooled), provenance=provenance)
        self._store.write_member(member)
        self.evaluations += 1
        monitored = np.isin(rows, self._sides.monitored)
        truth = corpus.labels[rows[monitored]]
        evaluation = evaluate_predictions(truth, logits[monitored].argmax(axis=1), n_classes=len(corpus.classes))
        metrics = {
            "eval_loss": compute_log_loss(truth, logits[monitored]),
            "eval_accuracy": evaluation.accuracy,
            "eval_balanced_accuracy": evaluation.balanced_accuracy,
        }
        self._store.append_curve(
            self._run,
            step=step,
            on=self._sides.on,
            **{name.removeprefix("eval_") if name != "eval_loss" else name: value for name, value in metrics.items()},
            seconds=round(self._seconds(), 3),
        )
        return metrics


def build_training_arguments(recipe: Recipe, checkpoints: Path) -> TrainingArguments:
    """The Trainer's arguments for a recipe.

    Raises:
        SerstoreError: if this machine cannot compute in the recipe's precision.
    """
    try:
        return _build_arguments(recipe, checkpoints)
    except ValueError as problem:
        raise SerstoreError(
            f"precision {recipe.precision} cannot be had on this machine ({' '.join(str(problem).split())[:160]}): "
            "choose another --precision"
        ) from problem


def _build_arguments(recipe: Recipe, checkpoints: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.train_batch_size,
        per_device_eval_batch_size=recipe.eval_batch_size,
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        eval_strategy="steps",
        eval_steps=recipe.eval_steps,
        logging_strategy="steps",
        logging_steps=recipe.logging_steps,
        save_strategy="steps",
        save_steps=recipe.save_steps,
        save_total_limit=recipe.save_total_limit,
        fp16=recipe.precision == "fp16",
        bf16=recipe.precision == "bf16",
        tf32=True if recipe.precision == "tf32" else None,
        seed=recipe.seed,
        label_names=["labels", "rows"],
        remove_unused_columns=False,
        dataloader_pin_memory=_has_accelerator(),
        report_to="none",
        log_level="error",
    )


def _has_accelerator() -> bool:
    import torch

    return torch.cuda.is_available()
