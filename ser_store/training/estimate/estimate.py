"""What a fine-tuning will take, before anything is spent: steps, memory, disk and time."""

import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.audio.recordings import load_durations, resolve_audio
from ser_store.backbones.model import SpeechClassifierConfig, build_config
from ser_store.backbones.source import find_source
from ser_store.corpora.splits.train_eval_rows import choose_train_eval_rows
from ser_store.recipes.recipe import Recipe
from ser_store.training.checkpointing.checkpoints import Layout
from ser_store.training.distributed.fsdp import choose_layout, read_plugin
from ser_store.training.estimate.estimates import Disk, Duration, Estimate, Memory
from ser_store.training.estimate.footprint import (
    compute_activation_bytes,
    compute_shard_bytes,
    count_flops,
    count_parameters,
)
from ser_store.training.estimate.matrix_rate import measure_matrix_rate
from ser_store.training.processes import count_processes, refuse_other_precision
from ser_store_h5.store import Store

_FLOAT32, _FLOAT16, _ROW = 4, 2, 4
_ADAMW_STATES = 2
_SAMPLED_BATCHES = 1_000


def estimate(
    store: Store,
    model: str,
    *,
    split: str | None = None,
    fold: int | None = None,
    recipe: Recipe | None = None,
    init: str = "pretrained",
    checkpoint: Path | None = None,
    audio: Path | None = None,
    checkpoints: Path | None = None,
) -> Estimate:
    """What :func:`ser_store.training.finetune.finetune` with the same arguments will take. Needs no weights.

    Args:
        init: makes no difference here; a key of the catalogue needs no network either way.

    Under ``torchrun`` or ``accelerate launch`` it is that of each of the processes; one of them is enough to ask.

    Raises:
        ModelError: if there is no such backbone, or the recipe does not fit it.
        CorpusError: if there is nothing to train on.
        SerstoreError: if accelerate's configuration does not fit model or recipe.
    """
    recipe = recipe or Recipe()
    refuse_other_precision(recipe.precision)
    plugin = read_plugin()
    corpus = store.corpus
    train_eval = choose_train_eval_rows(corpus, split=split, fold=fold)
    source = find_source(model, init="random" if checkpoint is None else init, checkpoint=checkpoint)
    backbone = getattr(source.config, "backbone_config", source.config)
    config = build_config(backbone, corpus.classes, pooling=recipe.pooling)
    folder = resolve_audio(corpus, audio)
    heard = _vary(load_durations(corpus, train_eval.train, audio=folder), recipe)
    evaluated = load_durations(corpus, train_eval.evaluated, audio=folder)
    per_epoch, steps = count_steps(recipe, len(train_eval.train), processes=count_processes())
    members = -(-steps // recipe.eval_steps)
    layout = choose_layout(plugin)
    parameters, trained = count_parameters(config, recipe)
    row_bytes = backbone.hidden_size * _FLOAT16 + len(corpus.classes) * _FLOAT32 + _ROW
    return Estimate(
        model=source.key,
        parameters=parameters,
        trained=trained,
        n_train=len(train_eval.train),
        n_evaluated=len(train_eval.evaluated),
        processes=count_processes(),
        layout=layout,
        steps=steps,
        steps_per_epoch=per_epoch,
        members=members,
        memory=_estimate_memory(config, recipe, parameters, trained, heard, plugin=plugin),
        disk=_estimate_disk(
            recipe,
            parameters * (2 if layout is Layout.FULL else 1),
            trained,
            members * len(train_eval.evaluated) * row_bytes,
            checkpoints or store.path,
        ),
        time=_estimate_time(config, recipe, steps, members, heard, evaluated),
    )


def count_steps(recipe: Recipe, n_train: int, *, processes: int = 1) -> tuple[int, int]:
    """Optimizer steps of one epoch and of all, as the Trainer counts them: a last, smaller batch is trained on too."""
    batches = math.ceil(n_train / (recipe.train_batch_size * processes))
    per_epoch = math.ceil(batches / recipe.accumulation)
    return per_epoch, recipe.max_steps or math.ceil(recipe.epochs * per_epoch)


def _vary(seconds: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    """The lengths that training hears, at the slowest speed that it may play."""
    if recipe.augmentation.speed_prob:
        seconds = seconds / recipe.augmentation.speed_range[0]
    return seconds if recipe.max_seconds is None else np.minimum(seconds, recipe.max_seconds)


def _estimate_memory(
    config: SpeechClassifierConfig,
    recipe: Recipe,
    parameters: int,
    trained: int,
    heard: NDArray[np.float64],
    *,
    plugin: Any,
) -> Memory:
    longest = np.sort(heard)[::-1][: recipe.train_batch_size]
    samples = [math.ceil(seconds * SAMPLE_RATE) for seconds in longest.tolist()]
    processes = count_processes()
    if plugin is None:
        shares, gathered = 1, 0
        activations = compute_activation_bytes(config, recipe, samples=samples)
    else:
        shares = processes
        activations, fullest = compute_shard_bytes(config, recipe, samples=samples, plugin=plugin, processes=processes)
        gathered = fullest - activations
    is_whole = plugin is None and processes > 1
    parts = {
        "weights": parameters * _FLOAT32 // shares,
        "gradients": trained * _FLOAT32 * (2 if is_whole else 1) // shares,
        "optimizer": trained * _FLOAT32 * _ADAMW_STATES // shares,
        "activations": activations,
        "gathered": gathered,
    }
    return Memory(
        **parts, total=sum(parts.values()), longest_seconds=float(longest[0]), available=_find_available_memory()
    )


def _find_available_memory() -> int | None:
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return whole // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    except (ValueError, OSError, AttributeError):  # not on every system
        return None


def _estimate_disk(recipe: Recipe, parameters: int, trained: int, members: int, folder: Path) -> Disk:
    checkpoint = parameters * _FLOAT32 + trained * _FLOAT32 * _ADAMW_STATES
    checkpoints = max(recipe.save_total_limit, 2) * checkpoint
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return Disk(checkpoints, members, checkpoints + members, shutil.disk_usage(existing).free)


def _estimate_time(
    config: SpeechClassifierConfig,
    recipe: Recipe,
    steps: int,
    members: int,
    heard: NDArray[np.float64],
    evaluated: NDArray[np.float64],
) -> Duration:
    padded = _compute_padded_mean(heard, recipe.train_batch_size, grouped=recipe.group_by_length)
    forth, both = count_flops(config, recipe, samples=round(padded * SAMPLE_RATE))
    padded_evaluated = _compute_padded_mean(evaluated, recipe.eval_batch_size, grouped=False)
    processes = count_processes()
    step = both * min(recipe.train_batch_size * recipe.accumulation * processes, len(heard))
    evaluation = round(forth * padded_evaluated / padded) * len(evaluated)
    total = step * steps + evaluation * members
    rate = measure_matrix_rate(recipe.precision)
    return Duration(step, total, rate.flops, rate.device, total / rate.flops / processes)


def _compute_padded_mean(seconds: NDArray[np.float64], batch_size: int, *, grouped: bool) -> float:
    """The mean length of the longest utterance of a batch, over batches drawn at random, or of similar length."""
    if grouped:
        longest = np.sort(seconds)[::-1][::batch_size]
    else:
        rng = np.random.default_rng(0)
        longest = rng.choice(seconds, (_SAMPLED_BATCHES, min(batch_size, len(seconds)))).max(axis=1)
    return float(longest.mean())
