"""How long the published recipe takes on this machine, for each backbone, beside Table 5 and the published way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from ser_store.backbones.catalogue import list_backbones
from ser_store.errors import SerstoreError, require
from ser_store.measuring.surroundings import describe_machine, list_package_versions
from ser_store.measuring.training_corpus import scratch_store
from ser_store.progress import Progress, silent
from ser_store.published import load_published
from ser_store.training.recipe import Recipe
from ser_store_h5.store import Store

PACKAGES = ("ser-store", "torch", "torchaudio", "transformers", "accelerate", "soundfile")
# The steps are timed in stretches, of which the first warms up and the median of the others counts.
STRETCHES = 6
# One more than warms up.
MIN_STEPS = 2 * STRETCHES


@dataclass(frozen=True)
class Runtime:
    """One backbone.

    Attributes:
        model: its key.
        parameters: with the head.
        step_seconds: of one optimizer step, median of stretches.
        evaluation_seconds: of one evaluation, which caches a member.
        saving_seconds: of one checkpoint.
        recipe_steps: optimizer steps of the whole recipe on this corpus.
        evaluations: of the whole recipe.
        peak_bytes: of memory, see :class:`ser_store.measuring.memory.Peak`.
        notebook_step_seconds: of one optimizer step in the published way, in the same run; None where not asked for.
        published: Table 5: ``total``, ``per_100_steps``, ``to_selected_step``; None for other models.
    """

    model: str
    parameters: int
    step_seconds: float
    evaluation_seconds: float
    saving_seconds: float
    recipe_steps: int
    evaluations: int
    peak_bytes: int
    notebook_step_seconds: float | None
    published: Mapping[str, float] | None

    @property
    def per_100_steps(self) -> float:
        """Seconds for 100 steps, their evaluation and their checkpoint."""
        return 100 * self.step_seconds + self.evaluation_seconds + self.saving_seconds

    @property
    def total(self) -> float:
        """Seconds for the whole recipe, extrapolated."""
        return self.recipe_steps * self.step_seconds + self.evaluations * (
            self.evaluation_seconds + self.saving_seconds
        )

    @property
    def ratio(self) -> float | None:
        """How many times as fast a step is as in the published way."""
        return None if self.notebook_step_seconds is None else self.notebook_step_seconds / self.step_seconds

    def to_json(self) -> dict[str, Any]:
        published = None if self.published is None else dict(self.published)
        derived = {"per_100_steps": self.per_100_steps, "total": self.total, "ratio": self.ratio}
        return {**vars(self), **derived, "published": published}


@dataclass(frozen=True)
class RuntimeComparison:
    """All backbones, in one run.

    Attributes:
        recipe: by which they were trained, for as many steps as were timed.
        corpus: of the recordings.
        n_train: utterances trained on.
        n_evaluated: utterances evaluated.
        hardware: processor and accelerators.
        runtimes: of each backbone.
        problems: backbones that could not be trained here, and why.
    """

    recipe: Recipe
    corpus: str
    n_train: int
    n_evaluated: int
    hardware: Mapping[str, Any]
    runtimes: tuple[Runtime, ...]
    problems: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.to_json(),
            "corpus": self.corpus,
            "n_train": self.n_train,
            "n_evaluated": self.n_evaluated,
            "weights": "random",
            "machine": {**describe_machine(), **self.hardware},
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
    precision: str = "fp32",
    recipe: Recipe | None = None,
    with_notebook: bool = False,
    seed: int = 42,
    folder: Path | None = None,
    progress: Progress = silent,
) -> RuntimeComparison:
    """Train each backbone for some steps by the published recipe, from random weights, which take as long as any.

    Args:
        models: keys of the catalogue. Default: the tiny presets.
        audio: RAVDESS recordings. Default: synthetic ones.
        steps: optimizer steps that are timed.
        precision: as in the recipe.
        recipe: default: the published one.
        with_notebook: train in the published way, too (:mod:`ser_store.measuring.notebook`).
        folder: where store and checkpoints lie for a while. Default: the system's temporary folder.

    Raises:
        SerstoreError: if there are too few steps to time.
    """
    if steps < MIN_STEPS:
        raise SerstoreError(f"{steps} steps cannot be timed: expected at least {MIN_STEPS}")
    require("torch")
    from ser_store.provenance import describe_hardware
    from ser_store.sides import choose_sides

    planned = (recipe or Recipe()).changed(precision=precision, seed=seed)
    stretch = steps // STRETCHES
    timed = planned.changed(max_steps=stretch * STRETCHES, logging_steps=stretch, eval_steps=steps, save_steps=steps)
    names = list_tiny_models() if models is None else tuple(models)
    runtimes, problems = [], {}
    with scratch_store(audio, folder=folder, progress=progress) as store:
        sides = choose_sides(store.corpus)
        for model in progress(names, total=len(names), label="backbones"):
            try:
                runtimes.append(_time_model(store, model, planned, timed, with_notebook=with_notebook))
            except SerstoreError as problem:
                problems[model] = str(problem)
        described = (store.corpus.name, len(sides.train), len(sides.evaluated))
    return RuntimeComparison(timed, *described, describe_hardware(), tuple(runtimes), problems)


def _time_model(store: Store, model: str, planned: Recipe, timed: Recipe, *, with_notebook: bool) -> Runtime:
    from ser_store.measuring.memory import measure_peak
    from ser_store.training.finetuning import finetune
    from ser_store.training.out_of_memory import free_memory

    try:
        with measure_peak() as peak:
            record = finetune(store, model, recipe=timed, init="random")
        curves = store.curves(record.run)
        reached = {point["step"]: point["seconds"] for point in curves if "train_loss" in point}
        evaluated = next(point["seconds"] for point in curves if "eval_loss" in point)
        notebook = _time_notebook(store, model, timed) if with_notebook else None
    finally:
        free_memory()
        if store.has_run(Path(model).name):
            store.remove(Path(model).name)
    per_epoch = ceil(ceil(record.details["n_train"] / planned.train_batch_size) / planned.accumulation)
    recipe_steps = planned.max_steps or ceil(per_epoch * planned.epochs)
    published = load_published().models.get(model)
    return Runtime(
        model=model,
        parameters=next((one.parameters for one in list_backbones() if one.key == model), 0),
        step_seconds=_find_step_seconds(reached),
        evaluation_seconds=evaluated - max(reached.values()),
        saving_seconds=max(0.0, record.details["seconds"] - evaluated),
        recipe_steps=recipe_steps,
        evaluations=ceil(recipe_steps / planned.eval_steps),
        peak_bytes=peak.bytes,
        notebook_step_seconds=notebook,
        published=None if published is None else published.seconds,
    )


def _time_notebook(store: Store, model: str, timed: Recipe) -> float:
    from ser_store.measuring.notebook import time_notebook, write_originals

    scratch = store.path.parent
    originals = write_originals(store, scratch / "originals")
    return _find_step_seconds(time_notebook(store, model, timed, originals=originals, folder=scratch / "notebook"))


def _find_step_seconds(reached: Mapping[int, float]) -> float:
    """The median of the stretches between logged steps; the one before the first is left out, as it warms up."""
    steps = sorted(reached)
    return median((reached[end] - reached[start]) / (end - start) for start, end in pairwise(steps))
