"""Extraction: representations (and logits) of the whole corpus from a checkpoint, a frozen backbone or a feature set.

What is in the store already, from the same model, recordings and preprocessing, is not computed again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_store.acoustic_extraction import prepare_acoustic
from ser_store.backbones.catalogue import is_acoustic
from ser_store.errors import ModelError, StoreError, require
from ser_store.network_extraction import Compute, prepare_network
from ser_store.pooled import narrow_pooled
from ser_store.progress import Progress, silent
from ser_store.provenance import compute_audio_digest, list_versions
from ser_store.recordings import resolve_audio
from ser_store.reports import report_keys
from ser_store.run_checkpoints import find_checkpoint, list_checkpoints
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.member import Member
from ser_store_h5.names import format_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

# What must agree for cached numbers to be the ones that would be computed, and how to call it.
_IDENTITY = {
    "model_digest": "model weights",
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
    store: Store,
    *,
    model: str | None = None,
    run: str | None = None,
    step: int | None = None,
    audio: Path | None = None,
    checkpoint: Path | None = None,
    init: str = "pretrained",
    pooling: str = "mean",
    seed: int = 42,
    batch_size: int = 8,
    progress: Progress = silent,
) -> list[Extraction]:
    """Cache the whole corpus: from a frozen ``model``, from a checkpoint of ``run``, or from all runs that have one.

    With a model, ``run`` names the new run. See :func:`extract_model` and :func:`extract_run`.

    Raises:
        ModelError: if there is nothing to extract from.
    """
    if model is not None:
        if step is not None:
            raise ModelError(f"--step {step} with --model {model}: a frozen backbone has step 0 only; leave --step out")
        options: dict[str, Any] = {"checkpoint": checkpoint, "init": init, "pooling": pooling, "seed": seed}
        return [extract_model(store, model, run=run, audio=audio, batch_size=batch_size, progress=progress, **options)]
    runs = [run] if run is not None else [one for one in store.runs() if list_checkpoints(store, store.run(one))]
    if not runs:
        raise ModelError(
            f"no run in {store.path} has a checkpoint: expected one to extract from; name a backbone with --model, or "
            "train one with `serstore finetune`"
        )
    return [
        extract_run(store, one, step=step, audio=audio, checkpoint=checkpoint, batch_size=batch_size, progress=progress)
        for one in runs
    ]


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
    batch_size: int = 8,
    progress: Progress = silent,
) -> Extraction:
    """Cache the representations of a frozen backbone or an acoustic feature set as ``run@0``.

    Args:
        run: the run's name. Default: the key of a feature set; key and ``-frozen`` for a backbone.

    Raises:
        ModelError: if the backbone cannot be loaded.
        MemoryLimitError: if a single utterance does not fit into memory.
        StoreError: if the run is there from another model, recordings or preprocessing; says which differ.
    """
    folder = resolve_audio(store.corpus, audio)
    require("torch")
    if is_acoustic(model):
        run = run or model
        identity, compute = prepare_acoustic(store.corpus, model, folder, progress=progress)
        origin: Mapping[str, Any] = {"feature_set": model}
    else:
        require("transformers")
        from ser_store.backbones.loading import build_model

        run = run or f"{Path(model).name.partition('@')[0]}-frozen"
        loaded = build_model(
            model, classes=store.corpus.classes, pooling=pooling, init=init, checkpoint=checkpoint, seed=seed
        )
        report_keys(loaded.backbone_key, missing=loaded.missing_keys, unused=loaded.unused_keys)
        identity, compute = prepare_network(
            store.corpus,
            loaded,
            folder,
            member=format_member(run, 0),
            batch_size=batch_size,
            with_logits=False,
            progress=progress,
        )
        origin = loaded.origin
    fitted = Fitted.on_nothing(len(store.corpus)).to_json()
    details = {"origin": dict(origin), "versions": list_versions(), KEY: fitted}
    record = RunRecord(run=run, kind="frozen", backbone=model, details=details)
    if store.has_run(run) and (store.run(run).kind, store.run(run).backbone) != (record.kind, record.backbone):
        store.refuse_run(run)
    return _extract(store, record, 0, identity, compute)


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
        ModelError: if there is no checkpoint of the step.
        MemoryLimitError: if a single utterance does not fit into memory.
        StoreError: if the member is there from another model, recordings or preprocessing; says which differ.
    """
    require("transformers")
    from ser_store.backbones.loading import load_classifier

    folder = resolve_audio(store.corpus, audio)
    record = store.run(run)
    if checkpoint is None or step is None:
        step, found = find_checkpoint(store, record, step)
        checkpoint = checkpoint or found
    loaded = load_classifier(checkpoint)
    classes = tuple(loaded.model.config.id2label[index] for index in range(loaded.model.config.num_labels))
    if classes != store.corpus.classes:
        raise ModelError(
            f"{checkpoint} tells {', '.join(classes)} apart: expected this corpus' {', '.join(store.corpus.classes)}"
        )
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
    provenance = {**identity, "source": "extraction", "audio_digest": compute_audio_digest(corpus, everyone)}
    member = _merge(cached, computed, provenance) if cached else _described(computed, provenance)
    if not store.has_run(run):
        store.add_run(record)
    store.write_member(member, replace=cached is not None)
    return Extraction(name, computed=len(missing), kept=0 if cached is None else len(cached.rows))


def _check_identity(cached: Member, identity: Mapping[str, Any], corpus: Corpus) -> None:
    differing = [word for key, word in _IDENTITY.items() if cached.provenance.get(key) != identity.get(key)]
    if cached.provenance.get("audio_digest") != compute_audio_digest(corpus, cached.rows):
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
