"""A recipe as the Hugging Face Trainer takes it."""

import os
from pathlib import Path

import torch
from transformers import TrainingArguments
from transformers.utils import is_torch_tf32_available

from ser_store.common.log import report_idle_gpus
from ser_store.errors import SerstoreError
from ser_store.recipes.recipe import Precision, Recipe
from ser_store.training.callbacks.tracking import check_reporter
from ser_store.training.distributed.processes import count_processes

_MIN_WORKERS, _WORKERS_PER_CORE = 16, 4


def build_training_arguments(recipe: Recipe, checkpoints: Path) -> TrainingArguments:
    """The Trainer's arguments for a recipe.

    Raises:
        SerstoreError: if this machine cannot compute in the recipe's precision, or load by so many processes; or if
            several train together and the recipe's batches are for one.
        MissingExtraError: if what the recipe reports to is not installed.
    """
    check_reporter(recipe.report_to)
    _refuse_crowd(recipe.dataloader_num_workers)
    _refuse_processes(recipe)
    try:
        return _use_one_gpu(_build_arguments(recipe, checkpoints))
    except ValueError as problem:
        raise SerstoreError(
            f"`precision` {recipe.precision} cannot be had on this machine ({' '.join(str(problem).split())[:160]}): "
            "choose another"
        ) from problem


def choose_precision() -> Precision:
    """The fastest number format that needs no scaling of the loss: bf16 where the hardware has it, else tf32, or fp32.

    On CPUs with such instructions, whisper-base trains 1.6 times as fast (``benchmarks/results/recipes.json``).
    """
    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        return "tf32" if is_torch_tf32_available() else "fp32"
    # torch has no public name for this.
    has_instructions = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if not torch.accelerator.is_available() and has_instructions() else "fp32"


def _refuse_crowd(workers: int) -> None:
    """Each takes hundreds of megabytes; with a thousand of them the system ends what it finds, without a word.

    Raises:
        SerstoreError: for many more processes than cores.
    """
    most = max(_MIN_WORKERS, _WORKERS_PER_CORE * (os.cpu_count() or 1))
    if workers > most:
        raise SerstoreError(
            f"`dataloader_num_workers` is {workers}: expected at most {most} on the {os.cpu_count()} cores of this "
            "machine"
        )


def _refuse_processes(recipe: Recipe) -> None:
    """Batches of sound or of a speaker cannot be dealt out evenly, and all processes have to take the same passes.

    Raises:
        SerstoreError: if several train together.
    """
    if count_processes() == 1:
        return
    for name, alone in (("micro_batch", "batch"), ("batch_seconds", None)):
        if getattr(recipe, name) != alone:
            raise SerstoreError(
                f"`{name}` is {getattr(recipe, name)} and {count_processes()} processes train together: expected one; "
                f"leave `{name}` out and choose `per_device_train_batch_size`"
            )
    if recipe.is_by_speaker:
        raise SerstoreError(
            f"`classification_head` is {recipe.classification_head} and {count_processes()} processes train together: "
            "expected one; or choose linear"
        )


def _build_arguments(recipe: Recipe, checkpoints: Path) -> TrainingArguments:
    if recipe.precision == "tf32" and not is_torch_tf32_available():  # stated_rounding sees to it where it is
        raise ValueError("it takes a GPU of the Ampere generation or a later one")
    if recipe.precision == "fp16" and not torch.accelerator.is_available():  # only once the run is there, or never
        raise ValueError("it takes a GPU; bf16 does without")
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.num_train_epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.per_device_train_batch_size,
        per_device_eval_batch_size=recipe.per_device_eval_batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.lr_scheduler_type,
        # Below 1, the Trainer takes it for a share of all steps.
        warmup_steps=recipe.warmup_ratio or recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        # It would ask the accelerator twice for every batch; LossMeter asks once where a loss is logged.
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=recipe.eval_steps,
        logging_strategy="steps",
        logging_steps=recipe.logging_steps,
        save_strategy="steps",
        save_steps=recipe.save_steps,
        save_total_limit=recipe.save_total_limit,
        # bf16 has to be told that the CPU is meant.
        use_cpu=not torch.accelerator.is_available(),
        fp16=recipe.precision == "fp16",
        bf16=recipe.precision == "bf16",
        seed=recipe.seed,
        label_names=["labels", "rows"],
        remove_unused_columns=False,
        dataloader_num_workers=recipe.dataloader_num_workers,
        dataloader_pin_memory=_has_accelerator(),
        accelerator_config={"non_blocking": _has_accelerator()},
        report_to="none",  # by callbacks of our own, see tracking.py
        log_level="error",
    )


def _use_one_gpu(arguments: TrainingArguments) -> TrainingArguments:
    """One GPU for each process, so that a batch is the recipe's on any machine, in place.

    The Trainer would take all that a process sees, multiply the batch by their number, and copy the model to each for
    every batch (``DataParallel``).
    """
    if arguments.n_gpu > 1:
        report_idle_gpus(arguments.n_gpu)
        arguments._n_gpu = 1  # as the Trainer itself sets it where a model is spread over GPUs
    return arguments


def _has_accelerator() -> bool:
    return torch.cuda.is_available()
