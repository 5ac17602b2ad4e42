"""The same fine-tuning with several seeds: a run for each, which :func:`ser_store.evaluate` gathers again."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ser_store.backbones.description import Init
from ser_store.common.checks import check_number
from ser_store.corpora.splits.train_eval_rows import Valid
from ser_store.errors import SerstoreError
from ser_store.evaluation.seeds import name_seed
from ser_store.recipes.recipe import Recipe
from ser_store.training.distributed.processes import stated_once
from ser_store.training.finetune import finetune
from ser_store.training.folds import refuse_begun, refuse_unfinished, train_unless_busy
from ser_store.training.request import DEFAULT_INIT, Fold, Request, name_after, name_run, read_request, settle_request
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store


def finetune_seeds(
    store: StoreLike,
    model: str | None = None,
    *,
    seeds: int,
    run: str | None = None,
    split: str | None = None,
    fold: Fold = None,
    valid: Valid | None = None,
    recipe: Recipe | None = None,
    init: Init = DEFAULT_INIT,
    checkpoint: str | os.PathLike[str] | None = None,
    audio: str | os.PathLike[str] | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: ProgressLike = False,
    callbacks: Sequence[Any] = (),
) -> list[RunRecord]:
    """Fine-tune as :func:`ser_store.finetune` does, once with each of the seeds 1, 2, …

    The runs ``RUN-seed-1`` … differ in nothing else. :func:`ser_store.evaluate` gathers those that it is asked about:
    the mean of their accuracies, their standard deviation and range. None of them is preferred to the others.

    Args:
        store: folder or :class:`ser_store.Store`; gains the runs and their members.
        model: as for :func:`ser_store.finetune`, as is all that is not said here.
        seeds: how many; ``recipe`` is taken with each in place of its own.
        run: what the names of the runs begin with. Default: the model's key, or the last part of hub id or folder.
        fold: with ``all``, each seed trains all folds, and is pooled over them.
        checkpoints: a folder, in which each run has one of its own. Default: ``checkpoints/`` in the run's folder.
        resume: go on with what is there, and leave finished runs alone; with more ``seeds`` than before, train the
            further ones. Several processes that are called alike share the runs.

    Returns:
        The finished runs' records, by seed.

    Raises:
        ExistsError: if some of the runs are there and are not to be gone on with.
        SerstoreError: if neither ``model`` nor ``run`` is given, or a run was begun otherwise; and whatever
            :func:`ser_store.finetune` raises, of which the runs before are finished.
        StoreError: if other processes train the rest.

    >>> import ser_store as ss
    >>> recordings = ss.write_synthetic_corpus("recordings", speakers=3)
    >>> made = ss.init("my.store", corpus="ravdess", audio="recordings", split="speaker")
    >>> recipe = ss.Recipe(max_steps=1, eval_steps=1, logging_steps=1, save_steps=1, gradient_accumulation_steps=1)
    >>> [one.run for one in ss.finetune_seeds("my.store", "tiny-wav2vec2", seeds=2, recipe=recipe)]
    ['tiny-wav2vec2-seed-1', 'tiny-wav2vec2-seed-2']
    """
    check_number("seeds", seeds, SerstoreError, least=2, whole=True)
    store = open_store(store)
    asked = {"model": model, "split": split, "fold": fold, "init": init, "checkpoint": checkpoint, "valid": valid}
    with stated_once():
        stem = run or name_after(model or "")
        if not stem:
            raise SerstoreError("`seeds` has no `model` and no `run` to name its runs after: expected one of them")
        runs = {seed: _name_run(store, run, stem, seed, resume=resume, **asked) for seed in range(1, seeds + 1)}
        if not resume:
            refuse_begun(store, f"the seeds of {stem}", runs)
        request = _settle(store, stem, runs, {**asked, "recipe": recipe})
    decided = {name: value for name, value in vars(request).items() if name not in ("run", "recipe")}
    for seed, one in to_progress(progress)(list(runs.items()), total=seeds, label=f"seeds of {stem}"):
        places: dict[str, Any] = {"audio": audio, "progress": progress, "callbacks": callbacks}
        places["checkpoints"] = None if checkpoints is None else Path(checkpoints) / one
        own = request.recipe.changed(seed=seed)
        train_unless_busy(store, one, partial(finetune, store, run=one, recipe=own, resume=True, **decided, **places))
    refuse_unfinished(store, f"not all seeds of {stem} are trained yet", runs)
    return [store.run(one) for one in runs.values()]


def _name_run(store: Store, run: str | None, stem: str, seed: int, *, resume: bool, **asked: Any) -> str:
    """The name of the seed's run; of one named after its model, with split and fold where another's run has it."""
    named = name_seed(stem, seed)
    return named if run else name_run(store, named, None, resume=resume, split=asked["split"], fold=asked["fold"])


def _settle(store: Store, stem: str, runs: Mapping[int, str], asked: Mapping[str, Any]) -> Request:
    """What all seeds have in common: what is asked for, and for the rest what one that was begun has."""
    begun = next((store.run(one) for own in runs.values() for one in store.runs() if _is_of(one, own)), None)
    if begun is None:
        return settle_request(None, stem, asked)
    recipe, own = asked["recipe"], dict(asked)
    if recipe is not None:
        own["recipe"] = recipe.changed(seed=read_request(begun).recipe.seed)
    if begun.run in runs.values():
        return settle_request(begun, stem, own)
    return replace(settle_request(begun, stem, {**own, "fold": None}), fold="all")


def _is_of(run: str, seed: str) -> bool:
    """Whether a run is that of a seed, or of one of its folds."""
    return re.fullmatch(re.escape(seed) + r"(-.+-fold-[0-9]+)?", run) is not None
