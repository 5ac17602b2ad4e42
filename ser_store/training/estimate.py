"""What a fine-tuning will take: measured by some real steps on the longest utterances, and extrapolated from them."""

import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ser_store.audio.recordings import load_durations, resolve_audio
from ser_store.backbones.description import Init
from ser_store.backbones.loading import keep_layers
from ser_store.backbones.model import build_config
from ser_store.backbones.source import find_source
from ser_store.common.display import Block, Result, Table, format_bytes
from ser_store.corpora.splits.train_eval_rows import TrainEvalRows, Valid, choose_train_eval_rows, list_folds
from ser_store.errors import MemoryLimitError
from ser_store.inference.memory import find_available_memory, read_peak_memory, reset_peak_memory
from ser_store.recipes.recipe import Recipe
from ser_store.training.arguments import build_training_arguments, choose_precision
from ser_store.training.batches import compute_heard_seconds, compute_padded_mean, count_steps_per_epoch, fill_batches
from ser_store.training.distributed.processes import choose_device, count_processes, stated_once, tell_all, wait_for_all
from ser_store.training.finetune import finetune
from ser_store.training.preparing import count_parameters
from ser_store.training.request import Fold
from ser_store_h5.corpus import Corpus
from ser_store_h5.store import Store, StoreLike, open_store

PROBE_STEPS = 5
_PROBE_EVALUATION_BATCHES = 2


@dataclass(frozen=True, repr=False)
class Estimate(Result):
    """What a fine-tuning will take.

    Attributes:
        model, init: the backbone's key, and the weights that were measured with, ``pretrained`` or ``random``.
        parameters, trained: of backbone and head, and those of them that are not frozen.
        n_train, n_evaluated: utterances trained on, and those of each of the ``members``, one for each evaluation; of
            several runs those of the one that was measured.
        processes: devices that train together.
        steps, steps_per_epoch: optimizer steps of that run, unless it stops early.
        train_batch_size, eval_batch_size: utterances at once: fewer than asked for if memory ran out.
        memory: bytes of each process, on its GPU if there is one: ``weights``, ``gradients`` and ``optimizer`` counted,
            ``total`` measured, ``available``; and ``longest_seconds``, the longest utterance as training hears it.
        disk: bytes of ``checkpoints`` while the last is written, of ``members``, in ``total``, and what is ``free``.
        time: ``seconds_per_step`` and ``seconds_per_checkpoint`` as measured on ``device``, ``seconds_per_evaluation``
            and ``seconds`` in all as extrapolated by the length of the audio, at most: as if each checkpoint, which is
            written behind the training, was waited for.
        runs: how many are trained, one for each fold and seed; ``disk`` and the ``seconds`` in all are of all of them.
    """

    model: str
    init: str
    parameters: int
    trained: int
    n_train: int
    n_evaluated: int
    processes: int
    steps: int
    steps_per_epoch: int
    members: int
    train_batch_size: int
    eval_batch_size: int
    memory: Mapping[str, Any]
    disk: Mapping[str, int]
    time: Mapping[str, Any]
    runs: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return all values, ready for :func:`json.dumps`."""
        return asdict(self)

    def records(self) -> list[dict[str, Any]]:
        return [self.to_json()]

    def describe(self) -> Iterator[Block]:
        return describe_estimates([self])


def describe_estimates(estimates: Sequence[Estimate]) -> Iterator[Block]:
    """Yield a table with a row for each model, and below it what was measured, and what there is no room for."""
    yield Table(
        ("model", "parameters", "trained", "steps", "members", "memory", "disk", "step", "time"),
        [
            (
                one.model,
                *(f"{count / 1e6:.1f} M" for count in (one.parameters, one.trained)),
                one.steps,
                one.members,
                *(format_bytes(sizes["total"]) for sizes in (one.memory, one.disk)),
                f"{one.time['seconds_per_step']:.2f} s",
                str(timedelta(seconds=round(one.time["seconds"]))),
            )
            for one in estimates
        ],
    )
    for one in estimates:
        processes = f" in each of {one.processes} processes" if one.processes > 1 else ""
        yield (
            f"{one.model}: measured on {one.time['device']}{processes}, {one.init} weights, utterances of up to "
            f"{one.memory['longest_seconds']:.1f} s, {one.train_batch_size} at a time ({one.eval_batch_size} in "
            "evaluation); the time of all steps is extrapolated"
            + (f"; {one.runs} runs: time and disk are those of all, steps and members of one" if one.runs > 1 else "")
        )
        if one.disk["total"] > one.disk["free"]:
            yield (
                f"{one.model}: only {format_bytes(one.disk['free'])} are free on that disk; name a larger one with "
                "`checkpoints`, or keep fewer with `save_total_limit`"
            )


def estimate(
    store: StoreLike,
    model: str,
    *,
    split: str | None = None,
    fold: Fold = None,
    valid: Valid | None = None,
    seeds: int = 1,
    recipe: Recipe | None = None,
    init: Init = "pretrained",
    checkpoint: str | os.PathLike[str] | None = None,
    audio: str | os.PathLike[str] | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
) -> Estimate:
    """Measure what memory, disk and time :func:`ser_store.finetune` with the same arguments will take.

    With ``fold="all"`` or several ``seeds`` it is what all runs take, one after the other. It trains some steps on the
    longest utterances in a temporary store, of several folds once. Weights are random ones of the same sizes
    unless a ``checkpoint`` has them, so that a key of the catalogue needs no network. Under ``torchrun`` or
    ``accelerate launch`` all processes call this alike.

    Raises:
        ModelError: if there is no such backbone, or the recipe does not fit it.
        CorpusError: if there is nothing to train on.
        MemoryLimitError: if the model, or a single utterance, does not fit into memory.

    >>> import ser_store as ss
    >>> recordings = ss.write_synthetic_corpus("recordings", speakers=3)
    >>> made = ss.init("my.store", corpus="ravdess", audio="recordings", split="speaker")
    >>> recipe = ss.Recipe(max_steps=2, eval_steps=2, logging_steps=2, save_steps=2, gradient_accumulation_steps=1)
    >>> ss.estimate("my.store", "tiny-wav2vec2", recipe=recipe).members
    1
    """
    store, recipe, processes = open_store(store), recipe or Recipe(), count_processes()
    corpus, weights = store.corpus, None if checkpoint is None else Path(checkpoint)
    with stated_once():
        folder = resolve_audio(corpus, None if audio is None else Path(audio))
        chosen = _list_rows(corpus, split, fold, valid)
        source = find_source(model, init="random" if weights is None else init, checkpoint=weights)
        backbone = getattr(source.config, "backbone_config", source.config)
        if recipe.num_hidden_layers is not None:
            keep_layers(None, backbone, recipe.num_hidden_layers)
        head = recipe.classification_head
        pooled: Any = {"pooling": recipe.pooling, "pooled_layers": recipe.pooled_layers}
        counts = count_parameters(build_config(backbone, corpus.classes, **pooled, head=head), recipe)
        memory = _count_memory(source.key, *counts)
        runs = [_plan_run(corpus, rows, folder, recipe, processes) for rows in chosen]
    probed = max(runs, key=lambda run: (run.train.max(), len(run.train)))
    longest = np.argsort(-probed.train)[: _count_probed(probed.train, recipe, processes)]
    judged = np.argsort(-probed.evaluated)[: recipe.per_device_eval_batch_size * processes * _PROBE_EVALUATION_BATCHES]
    parts = np.full(len(corpus), "", dtype="U5")
    parts[probed.rows.train[longest]], parts[probed.rows.evaluated[judged]] = "train", "valid"
    # The longest are of many speakers, and batches of one are to be as large as they will be.
    speakers = np.full(len(corpus), "one") if recipe.is_by_speaker else corpus.speakers
    excerpt = replace(corpus, splits={"probe": parts}, default_split="probe", speakers=speakers)
    init = source.origin["init"]
    took, peak, batch_sizes = _train_probe(excerpt, model, recipe, init=init, checkpoint=weights, audio=folder)
    kept = max(recipe.save_total_limit, 2) * (memory["weights"] + memory["optimizer"]) * len(runs) * seeds
    row_bytes = backbone.hidden_size * recipe.pooled_layers * 2 + len(corpus.classes) * 4 + 4
    written = seeds * row_bytes * sum(run.members * len(run.evaluated) for run in runs)
    place = Path(checkpoints or store.path).absolute()  # which may be made later
    free = shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.exists())).free
    disk = {"checkpoints": kept, "members": written, "total": kept + written, "free": free}
    padded, heard = compute_padded_mean(probed.train[longest], recipe), float(probed.evaluated[judged].sum())
    is_cuda, total = torch.cuda.is_available(), 0.0
    for run in runs:
        step = took["step"] * compute_padded_mean(run.train, recipe) / padded
        evaluation = took["evaluation"] * float(run.evaluated.sum() / heard)
        total += run.steps * step + run.members * evaluation + run.saves * took["checkpoint"]
    return Estimate(
        model=source.key,
        init=init,
        parameters=counts[0],
        trained=counts[1],
        n_train=len(probed.train),
        n_evaluated=len(probed.evaluated),
        processes=processes,
        steps=probed.steps,
        steps_per_epoch=probed.steps_per_epoch,
        members=probed.members,
        train_batch_size=batch_sizes[0],
        eval_batch_size=batch_sizes[1],
        memory={**memory, "total": peak, "longest_seconds": probed.train.max().item()},
        disk=disk,
        time={
            "device": torch.cuda.get_device_name() if is_cuda else f"CPU, {torch.get_num_threads()} threads",
            "seconds_per_step": took["step"],
            "seconds_per_evaluation": took["evaluation"] * float(probed.evaluated.sum() / heard),
            "seconds_per_checkpoint": took["checkpoint"],
            "seconds": total * seeds,
        },
        runs=len(runs) * seeds,
    )


@dataclass(frozen=True, eq=False)
class _Plan:
    """One run: its utterances, the seconds of those that training and evaluation hear, and how often it does what."""

    rows: TrainEvalRows
    train: NDArray[np.float64]
    evaluated: NDArray[np.float64]
    steps_per_epoch: int
    steps: int
    members: int
    saves: int


def _list_rows(corpus: Corpus, split: str | None, fold: Fold, valid: Valid | None) -> list[TrainEvalRows]:
    """The rows of each run."""
    folds = list_folds(corpus, split or str(corpus.default_split)) if fold == "all" else [fold]
    return [choose_train_eval_rows(corpus, split=split, fold=one, valid=valid) for one in folds]


def _plan_run(corpus: Corpus, rows: TrainEvalRows, audio: Path, recipe: Recipe, processes: int) -> _Plan:
    train = compute_heard_seconds(load_durations(corpus, rows.train, audio=audio), recipe)
    per_epoch = count_steps_per_epoch(recipe, train, corpus.speaker_groups(rows.train), processes=processes)
    steps = recipe.max_steps or math.ceil(recipe.num_train_epochs * per_epoch)
    members, saves = math.ceil(steps / recipe.eval_steps), math.ceil(steps / recipe.save_steps)
    evaluated = load_durations(corpus, rows.evaluated, audio=audio)
    return _Plan(rows, train, evaluated, per_epoch, steps, members, saves)


def _count_memory(model: str, parameters: int, trained: int) -> dict[str, Any]:
    """Bytes of the weights, their gradients and AdamW's two moments, all float32.

    Raises:
        MemoryLimitError: if these alone do not fit.
    """
    counted = {"weights": parameters * 4, "gradients": trained * 4, "optimizer": trained * 8}
    needed, available = sum(counted.values()), find_available_memory()
    if needed > available:
        raise MemoryLimitError(
            f"{model}: weights, gradients and optimizer alone take {needed / 1e9:.1f} GB, and this machine has "
            f"{available / 1e9:.1f} GB: expected more; take a smaller `model`, or freeze `frozen_layers`"
        )
    return {**counted, "available": available}


def _count_probed(seconds: NDArray[np.float64], recipe: Recipe, processes: int) -> int:
    """How many utterances the steps take that are measured."""
    batches = recipe.gradient_accumulation_steps * processes * PROBE_STEPS
    if recipe.batch_seconds is None:
        return recipe.per_device_train_batch_size * batches
    return sum(map(len, fill_batches(seconds, recipe.batch_seconds)[:batches]))


def _shorten(recipe: Recipe) -> Recipe:
    """The recipe for some steps at the slowest speed, then an evaluation and a checkpoint; otherwise as it is."""
    changes: dict[str, Any] = dict.fromkeys(("max_steps", "eval_steps", "save_steps"), PROBE_STEPS)
    if recipe.augmentation.speed_prob:
        changes |= {"speed_prob": 1.0, "speed_range": (recipe.augmentation.speed_range[0],) * 2}
    if recipe.class_weights == "balanced":
        changes["class_weights"] = "none"  # the longest may be of a few classes
    return recipe.changed(**changes, logging_steps=1, report_to="none", early_stopping_patience=None)


def _train_probe(
    corpus: Corpus, model: str, recipe: Recipe, **given: Any
) -> tuple[dict[str, float], int, tuple[int, int]]:
    """Train in a temporary store, by the code that trains; its curves say when a step was done, and an evaluation."""
    choose_device()
    if recipe.precision == "auto":
        recipe = recipe.changed(precision=choose_precision())
    build_training_arguments(recipe, Path(gettempdir()))  # by which the processes meet
    with TemporaryDirectory(prefix="serstore-dry-run-") as own:
        store = Store(tell_all(lambda: Store.create(Path(own) / "probe.store", corpus).path))
        reset_peak_memory()
        details = finetune(store, model, run="probe", recipe=_shorten(recipe), **given).details
        peak, points = read_peak_memory(), store.curves("probe")
        wait_for_all()
    logged, evaluated = [point["seconds"] for point in points[:-1]], points[-1]["seconds"]
    # Of the steps, the first warms up.
    took = {"step": median(np.diff(logged).tolist()), "evaluation": evaluated - logged[-1]}
    took["checkpoint"] = details["seconds"] - evaluated
    resolved = details["resolved"]
    return took, peak, (resolved["train_batch_size"], resolved["eval_batch_size"])
