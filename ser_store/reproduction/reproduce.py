"""Several backbones, one after the other, by one recipe: the paper's six, unless others are named."""

import logging
import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_store.backbones.catalogue import lookup
from ser_store.backbones.description import Init
from ser_store.errors import SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store.reproduction.published import load_published
from ser_store.training.request import name_after, name_run
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.store import Store, StoreLike, open_store

LOGGER = logging.getLogger("ser_store")
# By the state in which the run was found.
_OUTCOMES = {None: "trained", "finished": "skipped"}


@dataclass(frozen=True)
class ModelOutcome:
    """What became of one of the models.

    Attributes:
        model: as it was named.
        run: the name of its run.
        outcome: ``trained`` (from its beginning), ``resumed``, ``skipped`` (it was finished before) or ``failed``.
        problem: why it failed, in one line; None if it did not.
    """

    model: str
    run: str
    outcome: str
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dict(vars(self))


def list_published_models() -> tuple[str, ...]:
    """Return the keys of the paper's six models, in its order.

    >>> list_published_models()[:2]
    ('w2v2-large', 'xlsr53')
    """
    return tuple(load_published().models)


def finetune_all(
    store: StoreLike,
    models: Sequence[str] | None = None,
    *,
    split: str | None = None,
    fold: int | None = None,
    recipe: Recipe | None = None,
    init: Init | None = None,
    audio: str | os.PathLike[str] | None = None,
    progress: ProgressLike = False,
) -> tuple[ModelOutcome, ...]:
    """Fine-tune each model in a run that bears its key, with split and fold where that is of others.

    A run that is finished by the same recipe is left alone, one that was interrupted is resumed, and one that fails
    (its weights are not to be had, memory runs out, its training diverges) is reported without stopping the others.
    The memory of a model is given back before the next one is loaded. Calling this again does what is left to do.

    Under ``torchrun`` or ``accelerate launch`` a failure ends all, since the processes are no longer in step; the same
    call goes on from there.

    Args:
        store: gains the runs and their members.
        models: keys of the catalogue, hub ids, or local folders. Default: the six published models.
        split: default: the corpus' default split.
        fold: the fold to evaluate, for splits into folds.
        recipe: default: the published one; of all models alike.
        init: ``pretrained`` (the default) or ``random``.
        audio: the folder of the recordings, where it is not the one the corpus was made from.
        progress: show a bar over the models, and one over the steps of each; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Returns:
        One outcome for each model, in the order given.

    Raises:
        UnknownNameError: if the catalogue has no such key; nothing has been trained then.
        SerstoreError: if two models would have the same run.

    >>> import ser_store as ss
    >>> recordings = ss.write_synthetic_corpus("recordings", speakers=3)
    >>> made = ss.init("my.store", corpus="ravdess", audio="recordings", split="speaker")
    >>> recipe = ss.Recipe(max_steps=2, eval_steps=2, logging_steps=2, save_steps=2, gradient_accumulation_steps=1)
    >>> [one.outcome for one in ss.finetune_all("my.store", ["tiny-wav2vec2"], recipe=recipe)]
    ['trained']
    """
    audio = None if audio is None else Path(audio)
    store = open_store(store)
    names = name_runs(list_published_models() if models is None else models)
    recipe = recipe or Recipe()
    options = {"split": split, "fold": fold, "init": init, "audio": audio, "progress": progress}
    return tuple(
        _finetune_one(store, model, name_run(store, model, None, resume=False, split=split, fold=fold), recipe, options)
        for model in to_progress(progress)(names, total=len(names), label="models")
    )


def name_runs(models: Sequence[str]) -> dict[str, str]:
    """Name the run of each model: by the last part of the model's name.

    Raises:
        UnknownNameError: if the catalogue has no such key.
        SerstoreError: if none is named, or two would have the same run.
    """
    if not models:
        raise SerstoreError("no model is named: expected at least one; leave `models` out for the six published ones")
    names: dict[str, str] = {}
    for model in models:
        if "/" not in model and not Path(model).expanduser().is_dir():
            lookup(model.partition("@")[0])
        run = name_after(model)
        if run in names.values():
            raise SerstoreError(f"two models would be trained in the run {run}: expected each of them once")
        names[model] = run
    return names


def _finetune_one(store: Store, model: str, run: str, recipe: Recipe, options: Mapping[str, Any]) -> ModelOutcome:
    from ser_store.inference.out_of_memory import free_memory
    from ser_store.training.distributed.processes import count_processes
    from ser_store.training.finetune import finetune

    begun = store.run(run).state if store.has_run(run) else None
    try:
        finetune(store, model, run=run, recipe=recipe, resume=True, **options)
    # An unattended night must not be lost to what nobody has foreseen in one of six models.
    except Exception as failed:
        if count_processes() > 1:
            raise
        if not isinstance(failed, SerstoreError):
            LOGGER.info("%s", traceback.format_exc().rstrip())
        problem = " ".join(str(failed).split()) or type(failed).__name__
        LOGGER.info("%s failed, the others go on: %s", run, problem)
        outcome = ModelOutcome(model, run, "failed", problem)
    else:
        outcome = ModelOutcome(model, run, _OUTCOMES.get(begun, "resumed"))
    finally:
        # The exception has gone by now, and with it the traceback that held the model.
        free_memory()
    return outcome
