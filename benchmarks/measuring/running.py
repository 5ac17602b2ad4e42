"""How long the published recipe takes on this machine, for each backbone, beside Table 5 and the published way."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring.plan import PUBLISHED, Plan
from measuring.surroundings import describe_machine, list_package_versions
from measuring.training_corpus import scratch_store
from ser_store.backbones.catalogue import list_backbones
from ser_store.errors import SerstoreError, require
from ser_store.recipes.recipe import Recipe
from ser_store_h5.progress import Progress, silent

PACKAGES = ("ser-store", "numpy", "torch", "torchaudio", "transformers", "accelerate", "soundfile")
# The steps are timed in stretches, of which the first warms up and the median of the others counts.
STRETCHES = 8
MIN_STEPS = 3


@dataclass(frozen=True)
class Runtime:
    """One backbone. What is not called extrapolated was measured.

    Attributes:
        model: its key.
        parameters: with the head; 0 for a model that the catalogue does not have.
        steps: optimizer steps that were timed, the first stretch included.
        utterances_per_second: of training, the median of all stretches of steps but the first.
        evaluation_seconds: of one evaluation of ``n_evaluated`` utterances, which caches a member.
        saving_seconds: of one checkpoint.
        startup_seconds: until the first step; the weights are random, those of the hub have to be loaded.
        peak_bytes: of memory while the first stretch is trained, see :class:`measuring.memory.Peak`.
        flops_per_utterance: forth and back at the lengths that the very batches were padded to.
        floor_share: the time that these operations take at the matrix rate, over the time of training.
        extrapolated: seconds of the plan: ``total``, ``per_100_steps``, ``to_selected_step`` or None.
        notebook: the same figures of the published way, in the same run, where it was asked for: its
            ``utterances_per_second``, ``evaluation_seconds``, ``saving_seconds``, ``extrapolated``.
        ratio: how many times as many utterances per second as in the published way: the median of ``ratios``.
        ratios: of each pair of stretches, which are of the same batches, but the first.
        loss_difference: the largest relative difference between their losses; None where they compute otherwise.
        published: Table 5: ``total``, ``per_100_steps``, ``to_selected_step``; None for other models.
    """

    model: str
    parameters: int
    steps: int
    utterances_per_second: float
    evaluation_seconds: float
    saving_seconds: float
    startup_seconds: float
    peak_bytes: int
    flops_per_utterance: float
    floor_share: float
    extrapolated: Mapping[str, float | None]
    notebook: Mapping[str, Any] | None
    ratio: float | None
    ratios: tuple[float, ...]
    loss_difference: float | None
    published: Mapping[str, float] | None

    def to_json(self) -> dict[str, Any]:
        published = None if self.published is None else dict(self.published)
        return {**vars(self), "ratios": list(self.ratios), "published": published}


@dataclass(frozen=True)
class RuntimeComparison:
    """All backbones, in one run.

    Attributes:
        recipe: by which they were trained.
        notebook: the recipe of the published way; None where it was left out.
        plan: what is extrapolated to.
        corpus: of the recordings.
        n_train: utterances trained on.
        n_evaluated: utterances evaluated.
        upsampled: recordings that had to be resampled to the 48 kHz that the published way begins with.
        decoding_seconds: to decode one recording and resample it, on one thread.
        matrix_rate: floating-point operations a second in the recipe's precision, the fastest of several.
        threads: of torch on the CPU.
        load: processes that wanted to compute in the minute before, or None where the system does not say.
        hardware: processor and accelerators.
        runtimes: of each backbone.
        problems: backbones that could not be trained here, and why.
    """

    recipe: Recipe
    notebook: Recipe | None
    plan: Plan
    corpus: str
    n_train: int
    n_evaluated: int
    upsampled: int | None
    decoding_seconds: float
    matrix_rate: float
    threads: int
    load: float | None
    hardware: Mapping[str, Any]
    runtimes: tuple[Runtime, ...]
    problems: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        stated = ("corpus", "n_train", "n_evaluated", "upsampled", "decoding_seconds")
        return {
            "recipe": self.recipe.to_json(),
            "notebook_recipe": None if self.notebook is None else self.notebook.to_json(),
            "plan": vars(self.plan),
            **{name: getattr(self, name) for name in stated},
            "weights": "random",
            "machine": {**describe_machine(), **self.hardware, "threads": self.threads, "load_before": self.load},
            "matrix_rate_flops": self.matrix_rate,
            "versions": list_package_versions(PACKAGES),
            "runtimes": [runtime.to_json() for runtime in self.runtimes],
            "problems": dict(self.problems),
        }


def list_tiny_models() -> tuple[str, ...]:
    """The presets that any machine can train."""
    return tuple(backbone.key for backbone in list_backbones() if backbone.kind == "tiny")


def compare_runtimes(
    models: Sequence[str] | None = None,
    *,
    audio: Path | None = None,
    steps: int = 24,
    full_size_steps: int | None = None,
    precision: str = "fp32",
    recipe: Recipe | None = None,
    with_notebook: bool = False,
    notebook_precision: str | None = None,
    seed: int = 42,
    folder: Path | None = None,
    progress: Progress = silent,
) -> RuntimeComparison:
    """Train each backbone for some steps by the published recipe, from random weights, which take as long as any.

    Args:
        models: keys of the catalogue. Default: the tiny presets.
        audio: RAVDESS recordings. Default: synthetic ones.
        steps: optimizer steps that are timed.
        full_size_steps: the same of models that are not tiny presets. Default: ``steps``.
        precision: as in the recipe.
        recipe: default: the published one. It may take an optimizer step's utterances in other parts, and compile.
        with_notebook: train in the published way, too (:mod:`measuring.notebook`), in turns.
        notebook_precision: default: ``precision``. Losses are compared where both ways compute the same.
        folder: where store and checkpoints lie for a while. Default: the system's temporary folder.

    Raises:
        SerstoreError: if there are too few steps to time, or an optimizer step is not of as many utterances as the
            published way takes.
    """
    fewest = min(steps, full_size_steps or steps)
    if fewest < MIN_STEPS:
        raise SerstoreError(f"{fewest} steps cannot be timed: expected at least {MIN_STEPS}")
    torch = require("torch")
    from measuring.matrix_rate import multiply_matrices
    from measuring.notebook import find_originals
    from measuring.timing import time_decoding, time_model
    from ser_store.common.provenance import describe_hardware
    from ser_store.corpora.splits.train_eval_rows import choose_train_eval_rows

    asked = (recipe or Recipe()).changed(precision=precision, seed=seed)
    notebook = _choose_notebook(asked, precision=notebook_precision) if with_notebook else None
    names = list_tiny_models() if models is None else tuple(models)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    # Before and after each backbone: on a machine that does other things too, the fastest of them comes closest.
    rates = [multiply_matrices(precision).flops]
    measured, problems = [], {}
    with scratch_store(audio, folder=folder, progress=progress) as store:
        train_eval = choose_train_eval_rows(store.corpus)
        originals = find_originals(store, store.path.parent / "originals") if with_notebook else None
        decoding = time_decoding(store)
        for model in progress(names, total=len(names), label="backbones"):
            timed = steps if model in list_tiny_models() else full_size_steps or steps
            try:
                ours, theirs = _shorten(asked, timed), notebook and _shorten(notebook, timed)
                measured.append(time_model(store, model, ours, theirs, originals=originals))
            except SerstoreError as problem:
                problems[model] = str(problem)
            rates.append(multiply_matrices(precision).flops)
        rate = max(rates)
        return RuntimeComparison(
            recipe=asked,
            notebook=notebook,
            plan=PUBLISHED,
            corpus=store.corpus.name,
            n_train=len(train_eval.train),
            n_evaluated=len(train_eval.evaluated),
            upsampled=None if originals is None else originals.upsampled,
            decoding_seconds=decoding,
            matrix_rate=rate,
            threads=torch.get_num_threads(),
            load=load,
            hardware=describe_hardware(),
            runtimes=tuple(one.summarise(PUBLISHED, decoding_seconds=decoding, matrix_rate=rate) for one in measured),
            problems=problems,
        )


def _choose_notebook(asked: Recipe, *, precision: str | None) -> Recipe:
    """The recipe of the published way: the one asked for, in the published parts of an optimizer step.

    Raises:
        SerstoreError: if the two would not train on the same utterances in each optimizer step.
    """
    published = Recipe()
    size, times = asked.per_device_train_batch_size, asked.gradient_accumulation_steps
    if size * times != PUBLISHED.batch:
        raise SerstoreError(
            f"batches of {size} accumulated {times} times cannot be compared with the "
            f"published way: expected {PUBLISHED.batch} utterances in each optimizer step; change one of the two, or "
            "leave the published way out"
        )
    return asked.changed(
        precision=precision,
        per_device_train_batch_size=published.per_device_train_batch_size,
        gradient_accumulation_steps=published.gradient_accumulation_steps,
        torch_compile=published.torch_compile,
    )


def _shorten(asked: Recipe, steps: int) -> Recipe:
    """As many steps as are timed, in stretches that each end with a loss; then all else that 100 steps have."""
    stretch = max(1, steps // STRETCHES)
    steps -= steps % stretch
    # The first evaluation of compiled layers compiles them once more.
    interval = stretch * max(1, steps // stretch // 2) if asked.torch_compile else steps
    return asked.changed(max_steps=steps, logging_steps=stretch, eval_steps=interval, save_steps=steps)
