"""What a fine-tuning will take: counted, or measured by some real steps on the longest batches."""

import math
import os
import shutil
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import TrainerCallback

from ser_store.audio.recordings import load_durations, resolve_audio
from ser_store.backbones.description import Init
from ser_store.backbones.model import SpeechClassifier, SpeechClassifierConfig, build_config
from ser_store.backbones.source import find_source
from ser_store.corpora.splits.train_eval_rows import TrainEvalRows, choose_train_eval_rows
from ser_store.errors import MemoryLimitError, require
from ser_store.recipes.recipe import Recipe
from ser_store.training.arguments import build_training_arguments
from ser_store.training.class_gaps import count_classes
from ser_store.training.finetune import finetune
from ser_store.training.optimizer import make_loss
from ser_store.training.preparing import prepare
from ser_store.training.processes import (
    choose_device,
    count_processes,
    refuse_other_precision,
    stated_once,
    tell_all,
    wait_for_all,
)
from ser_store_h5.corpus import Corpus
from ser_store_h5.store import Store, StoreLike, open_store

PROBE_STEPS = 5
_PROBE_EVALUATION_BATCHES = 2
_SAMPLED_BATCHES = 1_000
# In the temporary folder, in checkpoints.
_ROOM = 2


@dataclass(frozen=True)
class Memory:
    """Bytes that each process takes on its device.

    Attributes:
        weights: 4 for each parameter.
        gradients: 4 for each parameter that is trained.
        optimizer: 8 for each of those, the two moments of AdamW.
        total: measured, the most while it trained, evaluated and saved: what torch reserved on a GPU, else what the
            process had resident.
        longest_seconds: the longest training utterance, as augmentation and cropping leave it.
        available: what the device has for each of the processes that share it; None where it does not say.
    """

    weights: int
    gradients: int
    optimizer: int
    total: int
    longest_seconds: float
    available: int | None


@dataclass(frozen=True)
class Disk:
    """Bytes on disk when they are most: the checkpoints kept, the last of which may be being written, and all members.

    Attributes:
        checkpoints: max(kept, 2) × (parameters × 4 + trained parameters × 8).
        members: members × utterances × (hidden size × 2 + classes × 4 + 4 for the row).
        free: on the disk of the checkpoints.
    """

    checkpoints: int
    members: int
    total: int
    free: int


@dataclass(frozen=True)
class Duration:
    """Seconds on ``device``.

    Attributes:
        seconds_per_step: measured, the median of all steps but the first, on batches of the longest utterances.
        seconds_per_evaluation: extrapolated by the length of the audio, from an evaluation of the longest utterances.
        seconds_per_checkpoint: measured; None if the temporary folder has no room for one.
        seconds: extrapolated: all steps at the mean length of their batches, all evaluations and checkpoints.
    """

    device: str
    seconds_per_step: float
    seconds_per_evaluation: float
    seconds_per_checkpoint: float | None
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What a fine-tuning will take.

    Attributes:
        model: the backbone's key.
        init: ``pretrained`` or ``random``, the weights that were measured with.
        parameters: of backbone and head.
        trained: those of them that are not frozen.
        n_train: utterances trained on.
        n_evaluated: utterances of each member.
        processes: devices that train together.
        steps: optimizer steps, unless it stops early.
        steps_per_epoch: optimizer steps of one pass.
        members: evaluations, each of which caches one.
        train_batch_size: utterances that went through the model at once: fewer than asked for if memory ran out.
        eval_batch_size: the same in evaluation.
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
    memory: Memory
    disk: Disk
    time: Duration

    def to_json(self) -> dict[str, Any]:
        """All values, ready for :func:`json.dumps`."""
        return asdict(self)


def estimate(
    store: StoreLike,
    model: str,
    *,
    split: str | None = None,
    fold: int | None = None,
    recipe: Recipe | None = None,
    init: Init = "pretrained",
    checkpoint: str | os.PathLike[str] | None = None,
    audio: str | os.PathLike[str] | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
) -> Estimate:
    """What :func:`ser_store.training.finetune.finetune` with the same arguments will take.

    Memory and seconds are measured by a training of :data:`PROBE_STEPS` steps on the longest utterances, in a temporary
    store that is removed afterwards. Weights are random ones of the same sizes, unless a ``checkpoint`` has them, so
    that a key of the catalogue needs no network.

    Under ``torchrun`` or ``accelerate launch`` all processes call this alike, and it is that of each of them.

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
    store = open_store(store)
    checkpoint = None if checkpoint is None else Path(checkpoint)
    audio = None if audio is None else Path(audio)
    checkpoints = None if checkpoints is None else Path(checkpoints)
    recipe, init = recipe or Recipe(), "random" if checkpoint is None else init
    with stated_once():
        plan = _make_plan(
            store.corpus, model, recipe, split=split, fold=fold, init=init, checkpoint=checkpoint, audio=audio
        )
    probe = _train_probe(plan, model, init=init, checkpoint=checkpoint)
    return _extrapolate(plan, probe, checkpoints or store.path)


@dataclass(frozen=True)
class _Plan:
    """What is known before anything is trained; ``longest`` and ``judged`` are places in the two arrays of seconds."""

    corpus: Corpus
    recipe: Recipe
    train_eval: TrainEvalRows
    audio: Path
    source: Any
    parameters: int
    trained: int
    heard: NDArray[np.float64]
    evaluated: NDArray[np.float64]
    longest: NDArray[np.intp]
    judged: NDArray[np.intp]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the weights, their gradients and AdamW's two moments, all float32."""
        return {"weights": self.parameters * 4, "gradients": self.trained * 4, "optimizer": self.trained * 8}

    @property
    def checkpoint_bytes(self) -> int:
        return self.sizes["weights"] + self.sizes["optimizer"]


def _make_plan(
    corpus: Corpus,
    model: str,
    recipe: Recipe,
    *,
    split: str | None,
    fold: int | None,
    init: Init,
    checkpoint: Path | None,
    audio: Path | None,
) -> _Plan:
    refuse_other_precision(recipe.precision)
    train_eval, audio = choose_train_eval_rows(corpus, split=split, fold=fold), resolve_audio(corpus, audio)
    make_loss(recipe, count_classes(corpus, train_eval.train))  # which refuses weights of unknown classes
    source = find_source(model, init=init, checkpoint=checkpoint)
    backbone = getattr(source.config, "backbone_config", source.config)
    parameters, trained = count_parameters(build_config(backbone, corpus.classes, pooling=recipe.pooling), recipe)
    heard, evaluated = (load_durations(corpus, rows, audio=audio) for rows in (train_eval.train, train_eval.evaluated))
    processes = count_processes()
    trained_on = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps * processes * PROBE_STEPS
    longest = np.argsort(-heard, kind="stable")[:trained_on]
    judged = np.argsort(-evaluated, kind="stable")[
        : recipe.per_device_eval_batch_size * processes * _PROBE_EVALUATION_BATCHES
    ]
    plan = _Plan(corpus, recipe, train_eval, audio, source, parameters, trained, heard, evaluated, longest, judged)
    needed, available = sum(plan.sizes.values()), find_available_memory()
    if available is not None and needed > available:
        raise MemoryLimitError(
            f"{source.key}: weights, gradients and optimizer alone take {needed / 1e9:.1f} GB, and this machine has "
            f"{available / 1e9:.1f} GB: expected more; train a smaller --model, or another machine, or freeze "
            "--frozen-layers"
        )
    return plan


def count_parameters(config: SpeechClassifierConfig, recipe: Recipe) -> tuple[int, int]:
    """All parameters of a classifier, and those of them that the recipe trains; no memory is taken for them."""
    with FakeTensorMode():
        model = SpeechClassifier(config).train()
        prepare(model, recipe)
        counts = [(one.numel(), one.requires_grad) for one in model.parameters()]
    return sum(count for count, _ in counts), sum(count for count, is_trained in counts if is_trained)


def count_steps(recipe: Recipe, n_train: int, *, processes: int = 1) -> tuple[int, int]:
    """Optimizer steps of one epoch and of all, as the Trainer counts them: a last, smaller batch is trained on too."""
    batches = math.ceil(n_train / (recipe.per_device_train_batch_size * processes))
    per_epoch = math.ceil(batches / recipe.gradient_accumulation_steps)
    return per_epoch, recipe.max_steps or math.ceil(recipe.num_train_epochs * per_epoch)


def find_available_memory() -> int | None:
    """Bytes that the device has for each of the processes that share it; None where it does not say."""
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return whole // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    except (ValueError, OSError, AttributeError):  # not on every system
        return None


class _Probe(TrainerCallback):
    """Measures what the Trainer takes for a step, an evaluation and a checkpoint, and how much memory for all."""

    def __init__(self, *, is_saving: bool) -> None:
        self._is_saving = is_saving
        self._steps: list[float] = []
        self._last = 0.0
        self.evaluation = 0.0
        self.checkpoint: float | None = None
        self.bytes = 0
        self.batch_sizes: dict[str, int] = {}

    @property
    def step(self) -> float:
        """Seconds: the median of all steps but the first, which warms up."""
        return median(self._steps[1:] or self._steps)

    def _stop_clock(self) -> float:
        """Seconds since the last call, once the device has come to the end of what it does."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        taken, self._last = now - self._last, now
        return taken

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._stop_clock()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._steps.append(self._stop_clock())
        control.should_save &= self._is_saving

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.evaluation = self._stop_clock()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.checkpoint = self._stop_clock()


def _train_probe(plan: _Plan, model: str, *, init: Init, checkpoint: Path | None) -> _Probe:
    """Train in a temporary store, by the code that trains."""
    choose_device()
    build_training_arguments(plan.recipe, Path(gettempdir()))  # by which the processes meet
    free = shutil.disk_usage(gettempdir()).free
    probe = _Probe(is_saving=free > _ROOM * plan.checkpoint_bytes)
    with ExitStack() as removed:
        folder = tell_all(lambda: removed.enter_context(TemporaryDirectory(prefix="serstore-dry-run-")))
        path = Path(folder) / "probe.store"
        tell_all(lambda: Store.create(path, _take_longest(plan)).path)
        reset_peak_memory()
        record = finetune(
            Store(path),
            model,
            run="probe",
            recipe=_shorten(plan.recipe),
            init=init,
            checkpoint=checkpoint,
            audio=plan.audio,
            callbacks=[probe],
        )
        probe.bytes = read_peak_memory()
        resolved = record.details["resolved"]
        probe.batch_sizes = {name: resolved[name] for name in ("train_batch_size", "eval_batch_size")}
        wait_for_all()
    return probe


def _take_longest(plan: _Plan) -> Corpus:
    """The corpus of the longest utterances alone, with one split."""
    corpus, train = plan.corpus, plan.train_eval.train[plan.longest]
    rows = np.sort(np.concatenate([train, plan.train_eval.evaluated[plan.judged]]))
    assert corpus.paths is not None  # resolve_audio has seen to it
    return Corpus(
        corpus.name,
        corpus.ids[rows],
        corpus.labels[rows],
        corpus.classes,
        splits={"probe": np.where(np.isin(rows, train), "train", "valid")},
        default_split="probe",
        paths=corpus.paths[rows],
        audio_digests=None if corpus.audio_digests is None else corpus.audio_digests[rows],
    )


def _shorten(recipe: Recipe) -> Recipe:
    """The recipe for some steps at the slowest speed, then an evaluation and a checkpoint; otherwise as it is."""
    intervals = dict.fromkeys(("max_steps", "eval_steps", "logging_steps", "save_steps"), PROBE_STEPS)
    shortened = recipe.changed(**intervals, report_to="none", class_weights="none", early_stopping_patience=None)
    if not recipe.augmentation.speed_prob:
        return shortened
    slowest = recipe.augmentation.speed_range[0]
    return shortened.changed(speed_prob=1.0, speed_range=(slowest, slowest))


def reset_peak_memory() -> None:
    """Have :func:`read_peak_memory` forget what was before, as far as the system does so."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/clear_refs").write_text("5")


def read_peak_memory() -> int:
    """The most bytes that torch reserved on the GPU, or that were resident of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return int(require("psutil").Process().memory_info().rss)  # accelerate brings it


def _extrapolate(plan: _Plan, probe: _Probe, place: Path) -> Estimate:
    """From the probe to the whole training; ``place`` is where checkpoints go."""
    recipe, processes, available = plan.recipe, count_processes(), find_available_memory()
    per_epoch, steps = count_steps(recipe, len(plan.train_eval.train), processes=processes)
    members = -(-steps // recipe.eval_steps)
    heard = _vary(plan.heard, recipe)
    batches, probed = (_compute_padded_mean(seconds, recipe) for seconds in (heard, heard[plan.longest]))
    evaluation = probe.evaluation * float(plan.evaluated.sum() / plan.evaluated[plan.judged].sum())
    saving = (probe.checkpoint or 0.0) * math.ceil(steps / recipe.save_steps)
    seconds = steps * probe.step * batches / probed + members * evaluation + saving
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return Estimate(
        plan.source.key,
        plan.source.origin["init"],
        plan.parameters,
        plan.trained,
        n_train=len(plan.heard),
        n_evaluated=len(plan.evaluated),
        processes=processes,
        steps=steps,
        steps_per_epoch=per_epoch,
        members=members,
        **probe.batch_sizes,
        memory=Memory(**plan.sizes, total=probe.bytes, longest_seconds=heard.max().item(), available=available),
        disk=_count_disk(plan, members, place),
        time=Duration(device, probe.step, evaluation, probe.checkpoint, seconds),
    )


def _count_disk(plan: _Plan, members: int, place: Path) -> Disk:
    backbone = getattr(plan.source.config, "backbone_config", plan.source.config)
    row_bytes = backbone.hidden_size * 2 + len(plan.corpus.classes) * 4 + 4
    checkpoints = max(plan.recipe.save_total_limit, 2) * plan.checkpoint_bytes
    written = members * len(plan.evaluated) * row_bytes
    existing = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
    return Disk(checkpoints, written, checkpoints + written, shutil.disk_usage(existing).free)


def _vary(seconds: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    """The lengths that training hears, at the slowest speed that it may play."""
    if recipe.augmentation.speed_prob:
        seconds = seconds / recipe.augmentation.speed_range[0]
    return seconds if recipe.max_seconds is None else np.minimum(seconds, recipe.max_seconds)


def _compute_padded_mean(seconds: NDArray[np.float64], recipe: Recipe) -> float:
    """The mean length of the longest utterance of a batch, over batches drawn at random, or of similar length."""
    size = min(recipe.per_device_train_batch_size, len(seconds))
    if recipe.group_by_length:
        return float(np.sort(seconds)[::-1][::size].mean())
    drawn = np.random.default_rng(0).choice(seconds, (_SAMPLED_BATCHES, size))
    return float(drawn.max(axis=1).mean())
