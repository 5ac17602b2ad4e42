"""Fine-tuning: what is asked for, the corpus' examples, the model and its trainer; each evaluation leaves a member."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_store.audio.recordings import resolve_audio
from ser_store.backbones.description import Init
from ser_store.backbones.loading import LoadedModel, build_model
from ser_store.common.log import report_cautions, report_loaded, report_name
from ser_store.corpora.splits.train_eval_rows import Valid
from ser_store.errors import SerstoreError, StoreError
from ser_store.recipes.recipe import Recipe
from ser_store.training.arguments import build_training_arguments
from ser_store.training.checkpointing.checkpoints import choose_folder
from ser_store.training.checkpointing.resume import (
    pin_model,
    refuse_other_backbone,
    refuse_other_processes,
    refuse_other_rows,
)
from ser_store.training.distributed.lock import hold_run
from ser_store.training.distributed.processes import (
    choose_device,
    count_processes,
    is_main,
    leave_together,
    not_alone,
    refuse_other_precision,
    stated_once,
    wait_for_all,
)
from ser_store.training.folds import train_folds
from ser_store.training.preparing import open_frozen_states, prepare
from ser_store.training.request import (
    DEFAULT_INIT,
    Fold,
    Request,
    choose_request_rows,
    find_begun,
    name_after,
    name_run,
    settle_request,
)
from ser_store.training.run_record import describe_run, list_class_gaps
from ser_store.training.session import TrainingSession, make_examples
from ser_store_h5.disk.atomic import remove_folder
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store


def finetune(
    store: StoreLike,
    model: str | None = None,
    *,
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
) -> RunRecord:
    """Fine-tune a speech model on the corpus of a store, and cache what it says at every evaluation.

    A backbone gets a new head with one logit for each class of the corpus, and both are trained by the recipe. Each
    evaluation writes a member ``run@step``: logits ``(m, c)`` float32 in the order of the corpus' classes and pooled
    representations ``(m, d)`` float16 of the ``m`` utterances that are not trained on. No audio is needed after that.

    Args:
        store: folder or :class:`ser_store.Store`; gains the run and its members.
        model: key of the catalogue, hub id, or local folder. May be left out for a run that is resumed.
        run: the run's name. Default: the key, or the last part of hub id or folder; with split and fold where the run
            of that name was trained on others.
        split: default: the corpus' default split.
        fold: the fold to evaluate, for splits into folds; or ``all``: each in turn, as the runs ``NAME-SPLIT-fold-1`` …
            or others that were trained alike, then the run ``NAME`` with the logits of every utterance by the model
            that has not learned from its fold, at each step that all folds have, without representations: those of
            different models cannot be compared. Several processes that are called alike share the folds.
        valid: ``next``: the fold after the one that is evaluated (after the last the first) is a validation part, not
            trained on either. With all folds, the step of each is then chosen there, by accuracy, and the run
            ``NAME-selected`` holds the member of these steps, ``NAME-selected@0``; :func:`ser_store.steps` with
            ``select`` chooses again.
        recipe: default: the published one; that of the run, if it is resumed.
        init: ``pretrained`` or ``random``.
        checkpoint: a folder with pretrained weights, instead of the hub.
        audio: the folder of the recordings, where it is not the one the corpus was made from.
        checkpoints: where model checkpoints go. Default: ``checkpoints/`` in the run's folder.
        resume: go on from the last whole checkpoint of a run that was killed or interrupted, to the curves and members
            that it would have had; begin it if there is none, and leave it alone if it is finished.
        progress: show a bar over the optimizer steps; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.
        callbacks: further :class:`transformers.TrainerCallback`, after all of our own.

    Under ``torchrun`` or ``accelerate launch`` all processes call this alike; the main one alone writes.

    Returns:
        The finished run's record; its ``details`` say with what, where and for how long it was trained.

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
    asked = {"model": model, "split": split, "fold": fold, "recipe": recipe, "init": init, "checkpoint": checkpoint}
    asked |= {"valid": valid}
    places: dict[str, Any] = {"audio": audio, "progress": progress, "callbacks": callbacks}
    if fold != "all":
        return _train_run(store, run, asked, resume=resume, checkpoints=checkpoints, **places)

    def train(one: str, asked: Mapping[str, Any]) -> RunRecord:
        own = None if checkpoints is None else Path(checkpoints) / one
        return _train_run(store, one, asked, resume=True, checkpoints=own, **places)

    return train_folds(store, run, asked, resume=resume, progress=progress, train=train)


def _train_run(
    store: Store,
    run: str | None,
    asked: Mapping[str, Any],
    *,
    resume: bool,
    audio: str | os.PathLike[str] | None,
    checkpoints: str | os.PathLike[str] | None,
    progress: ProgressLike,
    callbacks: Sequence[Any],
) -> RunRecord:
    """Train one run; parameters as of :func:`finetune`, ``asked`` being what decides the run."""
    split, fold = asked["split"], asked["fold"]
    with stated_once():
        name = name_run(store, asked["model"], run, resume=resume, split=split, fold=fold)
        begun = find_begun(store, name, resume=resume, split=split, fold=fold, recipe=asked["recipe"])
        request = settle_request(begun, name, asked)
        if begun is not None and begun.state == "finished":
            return begun
        corpus = store.corpus
        folder = resolve_audio(corpus, None if audio is None else Path(audio))
        rows = choose_request_rows(corpus, request)
        if begun is not None:
            refuse_other_rows(begun, rows)
            refuse_other_processes(begun, count_processes())
        refuse_other_precision(request.recipe.precision)
        choose_device()
        place = choose_folder(begun, checkpoints, default=store.run_folder(name) / "checkpoints")
        arguments = build_training_arguments(request.recipe, place)
        loaded = _load(request, begun, classes=corpus.classes, train=corpus.ids[rows.train].tolist())
        if is_main():
            if begun is None and run is None:
                report_name(name, name_after(request.model))
            report_cautions(name, list_class_gaps(corpus, rows))
        frozen = open_frozen_states(store.path, loaded, request.recipe)
        extractor = loaded.feature_extractor
        examples = make_examples(
            corpus, rows, audio=folder, feature_extractor=extractor, recipe=request.recipe, frozen=frozen
        )
    session = TrainingSession(
        store,
        request,
        rows,
        examples=examples,
        arguments=arguments,
        loaded=loaded,
        progress=to_progress(progress),
        callbacks=callbacks,
    )
    leave_together()
    with not_alone(name):
        wait_for_all()  # nobody looks for the run any more
        if not is_main():
            return session.train(begun)
        if begun is None:
            store.add_run(describe_run(request, rows, loaded, corpus=corpus, checkpoints=place))
        with session.ending.heard(), hold_run(store.run_folder(name)):
            return _train(session, begun, store=store, run=name)


def _load(request: Request, begun: RunRecord | None, *, classes: tuple[str, ...], train: list[str]) -> LoadedModel:
    """The model that is asked for, as its recipe wants it; that of a run which goes on as it was when it was begun."""
    recipe = request.recipe
    loaded = build_model(
        request.model if begun is None else pin_model(begun),
        classes=classes,
        pooling=recipe.pooling,
        pooled_layers=recipe.pooled_layers,
        head=recipe.classification_head,
        num_hidden_layers=recipe.num_hidden_layers,
        init=request.init,
        checkpoint=None if request.checkpoint is None else Path(request.checkpoint),
        seed=recipe.seed,
    )
    if is_main():
        report_loaded(loaded)
    prepare(loaded.model, recipe)
    # The weights carry with them what they have learned from, wherever they go; the head is new.
    loaded.model.config.trained_on = sorted({*loaded.trained_on, *train})
    if begun is not None:
        refuse_other_backbone(begun, loaded.describe()["configuration"])
    return loaded


def _train(session: TrainingSession, begun: RunRecord | None, *, store: Store, run: str) -> RunRecord:
    """Train; of a run that somebody has removed meanwhile, what was written after that goes, too."""
    try:
        return session.train(begun)
    except (SerstoreError, OSError) as problem:
        if store.has_run(run) or session.is_taken_back:
            raise
        folder = store.run_folder(run)
        if folder.is_dir():
            remove_folder(folder)
        raise StoreError(
            f"run {run} was removed from {store.path} while it was being trained: expected it to stay until it has "
            "ended; begin it again without `resume`"
        ) from problem
