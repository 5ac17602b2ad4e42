"""Extraction: representations (and logits) of the whole corpus from a checkpoint, a frozen backbone or a feature set.

What is in the store already, from the same model, recordings and preprocessing, is not computed again.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_store.audio.recordings import resolve_audio
from ser_store.backbones.catalogue import is_acoustic
from ser_store.common.log import report_left_out, report_loaded
from ser_store.common.progress import Progress, silent
from ser_store.common.provenance import digest_recordings, list_differences, list_versions
from ser_store.corpora.splits.fitted import find_fitted, find_rows
from ser_store.errors import ModelError, StoreError, require
from ser_store.evaluation.member_choice import describe_unreadable
from ser_store.extraction.acoustic import prepare_acoustic
from ser_store.extraction.network import Compute, prepare_network
from ser_store.inference.float16 import narrow_pooled
from ser_store.training.checkpointing.run_checkpoints import find_checkpoint, list_checkpoints
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.member import Member
from ser_store_h5.names import format_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store

# What must agree for cached numbers to be the ones that would be computed, and how to call it.
_IDENTITY = {
    "model_digest": "model weights",
    "attention": "attention",
    "preprocessing": "preprocessing",
    "pooling": "pooling",
    "precision": "precision",
}


@dataclass(frozen=True)
class Extraction:
    """What an extraction did for one member.

    Attributes:
        member: its name.
        computed: utterances computed now.
        kept: utterances that were in the store already.
    """

    member: str
    computed: int
    kept: int


def extract(
    store: StoreLike,
    *,
    model: str | None = None,
    run: str | None = None,
    step: int | None = None,
    audio: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    init: str = "pretrained",
    pooling: str = "mean",
    seed: int = 42,
    whisper_context: str = "utterance",
    batch_size: int = 8,
    progress: Progress = silent,
) -> list[Extraction]:
    """Cache the whole corpus: from a frozen ``model``, from a checkpoint of ``run``, or from all runs that have one.

    With a model, ``run`` names the new run. See :func:`extract_model` and :func:`extract_run`.

    Raises:
        ModelError: if there is nothing to extract from.

    >>> import ser_store as ss
    >>> recordings = ss.write_synthetic_corpus("recordings", speakers=3)
    >>> made = ss.init("my.store", corpus="ravdess", audio="recordings", split="speaker")
    >>> ss.extract("my.store", model="mfcc")[0].computed
    180
    """
    store = open_store(store)
    audio = None if audio is None else Path(audio)
    checkpoint = None if checkpoint is None else Path(checkpoint)
    if model is None and whisper_context != "utterance":
        raise ModelError(
            f"--whisper-context {whisper_context} without --model: a run's checkpoints look at utterances as they did "
            "in training; leave it out, or name a frozen backbone with --model"
        )
    if model is not None:
        if step is not None:
            raise ModelError(f"--step {step} with --model {model}: a frozen backbone has step 0 only; leave --step out")
        options: dict[str, Any] = {"checkpoint": checkpoint, "init": init, "pooling": pooling, "seed": seed}
        options["whisper_context"] = whisper_context
        return [extract_model(store, model, run=run, audio=audio, batch_size=batch_size, progress=progress, **options)]
    runs = [run] if run is not None else _list_extractable(store)
    if not runs:
        raise ModelError(
            f"no run in {store.path} has a checkpoint: expected one to extract from; name a backbone with --model, or "
            "train one with `serstore finetune`"
        )
    return [
        extract_run(store, one, step=step, audio=audio, checkpoint=checkpoint, batch_size=batch_size, progress=progress)
        for one in runs
    ]


def _list_extractable(store: Store) -> list[str]:
    """The runs with a checkpoint of which every file can be read; what is damaged is said."""
    survey = store.survey()
    whole = [run for run in survey.records if {m.step for m in survey.members if m.run == run} == {*store.steps(run)}]
    report_left_out(describe_unreadable([run for run in store.runs() if run not in whole]))
    return [run for run in whole if list_checkpoints(store, survey.records[run])]


def extract_model(
    store: Store,
    model: str,
    *,
    run: str | None = None,
    audio: Path | None = None,
    checkpoint: Path | None = None,
    init: str = "pretrained",
    pooling: str = "mean",
    seed: int = 42,
    whisper_context: str = "utterance",
    batch_size: int = 8,
    progress: Progress = silent,
) -> Extraction:
    """Cache the representations of a frozen backbone or an acoustic feature set as ``run@0``.

    Args:
        run: the run's name. Default: the key of a feature set; key and ``-frozen`` for a backbone.
        whisper_context: what a Whisper looks at, see :func:`ser_store.backbones.loading.build_model`.

    Raises:
        ModelError: if the backbone cannot be loaded.
        MemoryLimitError: if a single utterance does not fit into memory.
        StoreError: if the run is there from another model, recordings or preprocessing; says which differ.
    """
    folder = resolve_audio(store.corpus, audio)
    require("torch")
    if is_acoustic(model):
        if whisper_context != "utterance":
            raise ModelError(f"--whisper-context {whisper_context} with --model {model}: no Whisper; leave it out")
        run = run or model
        identity, compute = prepare_acoustic(store.corpus, model, folder, progress=progress)
        origin: Mapping[str, Any] = {"feature_set": model}
        trained_on: tuple[str, ...] = ()
        details: dict[str, Any] = {}
    else:
        require("transformers")
        from ser_store.backbones.loading import build_model

        run = run or f"{Path(model).name.partition('@')[0]}-frozen"
        loaded = build_model(
            model,
            classes=store.corpus.classes,
            pooling=pooling,
            init=init,
            checkpoint=checkpoint,
            seed=seed,
            context=whisper_context,
        )
        report_loaded(loaded)
        identity, compute = prepare_network(
            store.corpus,
            loaded,
            folder,
            member=format_member(run, 0),
            batch_size=batch_size,
            with_logits=False,
            progress=progress,
        )
        origin, trained_on = loaded.origin, loaded.trained_on
        details = {"whisper_context": whisper_context} if loaded.is_whisper else {}
    details |= {"origin": dict(origin), "versions": list_versions(), KEY: _describe_fitted(store.corpus, trained_on)}
    record = RunRecord(run=run, kind="frozen", backbone=model, details=details)
    if store.has_run(run) and (store.run(run).kind, store.run(run).backbone) != (record.kind, record.backbone):
        store.refuse_run(run)
    return _extract(store, record, 0, identity, compute)


def _describe_fitted(corpus: Corpus, trained_on: Sequence[str]) -> dict[str, Any]:
    """What a frozen backbone has learned from, if its weights were fine-tuned on utterances of this corpus."""
    rows = find_rows(corpus, trained_on)
    fitted = Fitted.on_rows(rows, len(corpus)) if len(rows) else Fitted.on_nothing(len(corpus))
    return fitted.to_json()


def extract_run(
    store: Store,
    run: str,
    *,
    step: int | None = None,
    audio: Path | None = None,
    checkpoint: Path | None = None,
    batch_size: int = 8,
    progress: Progress = silent,
) -> Extraction:
    """Cache logits and representations of the whole corpus from a checkpoint of a fine-tuned run.

    Args:
        step: default: the selected step if its checkpoint is there, else the last one that is.
        checkpoint: the checkpoint's folder, where it is not among the run's own.

    Raises:
        ModelError: if there is no checkpoint of the step, or it computes otherwise than the run was trained.
        MemoryLimitError: if a single utterance does not fit into memory.
        StoreError: if the member is there from another model, recordings or preprocessing; says which differ.
    """
    require("transformers")
    folder = resolve_audio(store.corpus, audio)
    record = store.run(run)
    if checkpoint is None or step is None:
        step, found = find_checkpoint(store, record, step)
        checkpoint = checkpoint or found
    loaded = _load_checkpoint(store, record, checkpoint)
    recipe: Mapping[str, Any] = record.details.get("recipe", {})
    identity, compute = prepare_network(
        store.corpus,
        loaded,
        folder,
        member=format_member(run, step),
        batch_size=batch_size,
        with_logits=True,
        progress=progress,
        precision=recipe.get("precision", "fp32"),
    )
    return _extract(store, record, step, identity, compute)


def _load_checkpoint(store: Store, record: RunRecord, checkpoint: Path) -> Any:
    """The classifier in ``checkpoint`` as the run was trained.

    Raises:
        ModelError: if it tells other classes apart, or computes otherwise.
    """
    from ser_store.backbones.loading import load_classifier
    from ser_store.training.preparing import set_attention

    loaded = load_classifier(checkpoint)
    classes = loaded.model.config.classes
    if classes != store.corpus.classes:
        raise ModelError(
            f"{checkpoint} tells {', '.join(classes)} apart: expected this corpus' {', '.join(store.corpus.classes)}"
        )
    described = loaded.describe()
    configuration = described["configuration"]
    differing = list_differences(record.details.get("configuration", configuration), configuration)
    if differing:
        raise ModelError(
            f"{checkpoint} computes otherwise than run {record.run} was trained, by another {', '.join(differing)}: "
            f"expected a checkpoint as it was saved; cache this one with --model {checkpoint} --run NAME"
        )
    fitted, rows = find_fitted(store, record.run), find_rows(store.corpus, loaded.trained_on)
    if fitted is not None and len(rows) and not np.array_equal(np.flatnonzero(fitted.learned.any(axis=0)), rows):
        raise ModelError(
            f"{checkpoint} was trained on other utterances than run {record.run}: expected a checkpoint of this run; "
            f"cache this one with --model {checkpoint} --run NAME"
        )
    report_loaded(loaded)
    attention = record.details.get("attention", described["attention"])
    if attention != described["attention"]:
        # A checkpoint does not keep it. Where it cannot be had, the member says what was.
        with suppress(ModelError):
            set_attention(loaded.model, attention)
    return loaded


def _extract(store: Store, record: RunRecord, step: int, identity: Mapping[str, Any], compute: Compute) -> Extraction:
    corpus, run, name = store.corpus, record.run, format_member(record.run, step)
    everyone = np.arange(len(corpus), dtype=np.int32)
    cached = store.read_member(name) if step in store.steps(run) else None
    if cached is not None:
        _check_identity(cached, identity, corpus)
    missing = everyone if cached is None else np.setdiff1d(everyone, cached.rows)
    if not len(missing):
        return Extraction(name, computed=0, kept=len(everyone))
    logits, pooled = compute(missing)
    computed = Member(run, step, missing, logits=logits, pooled=narrow_pooled(pooled))
    provenance = {**identity, "source": "extraction", "audio_digest": digest_recordings(corpus, everyone)}
    member = _merge(cached, computed, provenance) if cached else _described(computed, provenance)
    if not store.has_run(run):
        store.add_run(record)
    elif record.kind == "frozen" and cached is None:
        # It tells of the model whose member was removed.
        store.update_run(store.run(run).updated(**record.details))
    store.write_member(member, replace=cached is not None)
    return Extraction(name, computed=len(missing), kept=0 if cached is None else len(cached.rows))


def _check_identity(cached: Member, identity: Mapping[str, Any], corpus: Corpus) -> None:
    differing = [word for key, word in _IDENTITY.items() if cached.provenance.get(key) != identity.get(key)]
    configuration = identity.get("configuration", {})
    if configuration and "configuration" not in cached.provenance:
        differing.append("or unknown configuration")
    differing += list_differences(cached.provenance.get("configuration", configuration), configuration)
    if cached.provenance.get("audio_digest") != digest_recordings(corpus, cached.rows):
        differing.append("recordings")
    if differing:
        raise StoreError(
            f"{cached.name} is in the store already from other {' and '.join(differing)}: nothing was written; name "
            f"this one with --run NAME, or remove the old one with `serstore rm {cached.name}`"
        )


def _described(member: Member, provenance: Mapping[str, Any]) -> Member:
    return Member(member.run, member.step, member.rows, member.logits, member.pooled, provenance=provenance)


def _merge(cached: Member, computed: Member, provenance: Mapping[str, Any]) -> Member:
    """The rows of both, ascending."""
    if cached.pooled is None or computed.pooled is None or (cached.logits is None) != (computed.logits is None):
        raise StoreError(f"{cached.name} holds other arrays than an extraction gives; remove it with `serstore rm`")
    rows = np.concatenate([cached.rows, computed.rows])
    order = np.argsort(rows)
    wide = np.result_type(cached.pooled.dtype, computed.pooled.dtype)
    pooled = np.concatenate([cached.pooled.astype(wide), computed.pooled.astype(wide)])[order]
    logits = None
    if cached.logits is not None and computed.logits is not None:
        logits = np.concatenate([cached.logits, computed.logits])[order]
    return Member(cached.run, cached.step, rows[order], logits, pooled, provenance=provenance)
