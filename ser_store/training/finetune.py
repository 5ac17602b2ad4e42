"""Fine-tuning: a run begins or goes on, the Trainer trains it, and every evaluation leaves a member in the store."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ser_store.audio.recordings import resolve_audio
from ser_store.backbones.description import Init
from ser_store.backbones.loading import LoadedModel, build_model
from ser_store.common.log import report_cautions, report_loaded, report_name
from ser_store.corpora.splits.train_eval_rows import choose_train_eval_rows
from ser_store.errors import SerstoreError, StoreError
from ser_store.recipes.recipe import Recipe
from ser_store.training.arguments import build_training_arguments
from ser_store.training.checkpointing.checkpoints import find_folders
from ser_store.training.checkpointing.resume import (
    DEFAULT_INIT,
    Request,
    find_begun,
    name_after,
    name_run,
    pin_model,
    read_request,
    refuse_contradictions,
    refuse_other_backbone,
    refuse_other_processes,
    refuse_other_rows,
)
from ser_store.training.class_gaps import list_class_gaps
from ser_store.training.lock import hold_run
from ser_store.training.preparing import prepare
from ser_store.training.processes import (
    choose_device,
    count_processes,
    is_main,
    leave_together,
    not_alone,
    refuse_other_precision,
    stated_once,
    wait_for_all,
)
from ser_store.training.run_record import describe_run
from ser_store.training.session import TrainingSession
from ser_store_h5.disk.atomic import remove_folder
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store


def finetune(
    store: StoreLike,
    model: str | None = None,
    *,
    run: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    recipe: Recipe | None = None,
    init: Init = DEFAULT_INIT,
    checkpoint: str | os.PathLike[str] | None = None,
    audio: str | os.PathLike[str] | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    resume: bool = False,
    show_progress: bool = False,
    callbacks: Sequence[Any] = (),
) -> RunRecord:
    """Train all parameters of a backbone and its head, and cache a member at every evaluation.

    Args:
        store: gains the run and its members.
        model: key of the catalogue, hub id, or local folder. May be left out for a run that is resumed.
        run: the run's name. Default: the key, or the last part of hub id or folder; with split and fold where the run
            of that name was trained on others.
        split: default: the corpus' default split.
        fold: the fold to evaluate, for splits into folds.
        recipe: default: the published one; that of the run, if it is resumed.
        init: ``pretrained`` or ``random``.
        checkpoint: a folder with pretrained weights, instead of the hub.
        audio: the folder of the recordings, where it is not the one the corpus was made from.
        checkpoints: where model checkpoints go. Default: ``checkpoints/`` in the run's folder.
        resume: go on from the last whole checkpoint of a run that was killed or interrupted, to the curves and members
            that it would have had; begin it if there is none, and leave it alone if it is finished.
        callbacks: further ones of the Trainer, after all of our own.

    Under ``torchrun`` or ``accelerate launch`` all processes call this alike; the main one alone writes.

    Returns:
        The finished run's record.

    Raises:
        ExistsError: if the store has a run of this name, and it is not to be resumed.
        ModelError: if the backbone cannot be loaded.
        AudioError: naming the recording that cannot be read; the run keeps what was cached until then.
        DivergedError: if the training has diverged; the run says so and keeps the members cached before.
        MemoryLimitError: if a single utterance does not fit into memory.
        StoreError: if another process trains the run, or its checkpoints are of another training.
        ProcessLostError: if a process that trains it together with this one has ended.

    >>> import ser_store as ss
    >>> recordings = ss.write_synthetic_corpus("recordings", speakers=3)
    >>> made = ss.init("my.store", corpus="ravdess", audio="recordings", split="speaker")
    >>> recipe = ss.Recipe(max_steps=2, eval_steps=2, logging_steps=2, save_steps=2, gradient_accumulation_steps=1)
    >>> run = ss.finetune("my.store", "tiny-wav2vec2", recipe=recipe)
    >>> run.state, ss.Store("my.store").member_names()
    ('finished', ['tiny-wav2vec2@2'])
    """
    store = open_store(store)
    checkpoint = None if checkpoint is None else Path(checkpoint)
    audio = None if audio is None else Path(audio)
    checkpoints = None if checkpoints is None else Path(checkpoints)
    with stated_once():
        name = name_run(store, model, run, resume=resume, split=split, fold=fold)
        begun = find_begun(store, name, resume=resume, split=split, fold=fold, recipe=recipe)
        request = _settle_request(
            begun, name, model=model, split=split, fold=fold, recipe=recipe, init=init, checkpoint=checkpoint
        )
        if begun is not None and begun.state == "finished":
            return begun
        train_eval = choose_train_eval_rows(store.corpus, split=request.split, fold=request.fold)
        if begun is not None:
            refuse_other_rows(begun, train_eval)
            refuse_other_processes(begun, count_processes())
        refuse_other_precision(request.recipe.precision)
        choose_device()
        place = _choose_place(store, begun, name, checkpoints)
        speech, arguments = resolve_audio(store.corpus, audio), build_training_arguments(request.recipe, place)
        loaded = _load(request if begun is None else replace(request, model=pin_model(begun)), store.corpus.classes)
        # The weights carry with them what they have learned from, wherever they go; the head is new.
        heard = {*loaded.trained_on, *store.corpus.ids[train_eval.train].tolist()}
        loaded.model.config.trained_on = sorted(heard)
        if begun is not None:
            refuse_other_backbone(begun, loaded.describe()["configuration"])
        if is_main():
            if begun is None and run is None:
                report_name(name, name_after(request.model))
            report_cautions(name, list_class_gaps(store.corpus, train_eval))
        session = TrainingSession(
            store,
            request,
            train_eval,
            audio=speech,
            arguments=arguments,
            loaded=loaded,
            show_progress=show_progress,
            callbacks=callbacks,
        )
    leave_together()
    with not_alone(name):
        wait_for_all()  # nobody looks for the run any more
        if not is_main():
            return session.train(begun)
        if begun is None:
            store.add_run(describe_run(request, train_eval, loaded, corpus=store.corpus, checkpoints=place))
        with session.ending.heard(), hold_run(store.run_folder(name)):
            try:
                return session.train(begun)
            except (SerstoreError, OSError) as problem:
                if store.has_run(name) or session.is_taken_back:
                    raise
                raise _state_removal(store, name) from problem


def _settle_request(begun: RunRecord | None, run: str, **asked: Any) -> Request:
    """What decides the run: what is asked for, or what it was begun with if nothing asked for contradicts that."""
    stated = {name: value for name, value in asked.items() if value is not None}
    for name in {"model", "checkpoint"} & stated.keys():
        place = Path(stated[name])
        # A folder is the same wherever the command is called from.
        stated[name] = str(place.resolve() if place.is_dir() else stated[name])
    if begun is not None:
        request = read_request(begun)
        refuse_contradictions(request, stated)
        return request
    if "model" not in stated:
        raise SerstoreError(f"no --model is given, and there is no run {run} to go on with: expected one of them")
    return Request(run=run, **{"recipe": Recipe(), **stated})


def _choose_place(store: Store, begun: RunRecord | None, run: str, given: Path | None) -> Path:
    """The folder of the checkpoints; that of a new run must have none, for old ones are removed from it."""
    place = given or store.run_folder(run) / "checkpoints"
    if place.exists() and not place.is_dir():
        raise StoreError(
            f"{place} is a file: expected a folder for the checkpoints; name another with --checkpoints DIR"
        )
    if begun is not None:
        stated = Path(str(begun.details["checkpoints"]))
        return stated if given is None and stated.is_dir() else place
    others = find_folders(place)
    if others:
        raise StoreError(
            f"{place} holds {others[-1].name} of another training: expected a folder without checkpoints, since "
            "all but the last are removed; remove them, or name another folder with --checkpoints DIR"
        )
    return place


def _state_removal(store: Store, run: str) -> StoreError:
    """What to say of a run that somebody has removed meanwhile; what was written after that goes, too."""
    folder = store.run_folder(run)
    if folder.is_dir():
        remove_folder(folder)
    return StoreError(
        f"run {run} was removed from {store.path} while it was being trained: expected it to stay until it has ended; "
        "begin it again without --resume"
    )


def _load(request: Request, classes: tuple[str, ...]) -> LoadedModel:
    recipe = request.recipe
    loaded = build_model(
        request.model,
        classes=classes,
        pooling=recipe.pooling,
        init=request.init,
        checkpoint=None if request.checkpoint is None else Path(request.checkpoint),
        seed=recipe.seed,
    )
    if is_main():
        report_loaded(loaded)
    prepare(loaded.model, recipe)
    return loaded
