"""What a member is extracted from: a feature set, a frozen backbone, or a checkpoint of a run."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_store.backbones.acoustic import FEATURE_SETS
from ser_store.common.log import report_loaded
from ser_store.common.provenance import list_differences, list_versions
from ser_store.corpora.splits.fitted import find_fitted, find_rows
from ser_store.errors import ModelError
from ser_store.extraction.acoustic import prepare_acoustic
from ser_store.extraction.network import Compute, Passes, prepare_network
from ser_store.training.checkpointing.checkpoints import find_checkpoint
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.names import format_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@dataclass(frozen=True)
class Extractor:
    """One member to be extracted.

    Attributes:
        record: of its run; what a new run says of itself.
        step: its step.
        identity: what its numbers are known by, a part of the member's provenance.
        compute: gives them for rows of the corpus.
        is_narrow: whether the store keeps them as float16, where their range fits.
    """

    record: RunRecord
    step: int
    identity: Mapping[str, Any]
    compute: Compute
    is_narrow: bool = True

    @property
    def name(self) -> str:
        """The member's name."""
        return format_member(self.record.run, self.step)


def prepare_feature_set(store: Store, key: str, *, run: str | None, passes: Passes) -> Extractor:
    """Return what gives the acoustic features ``key``, as ``run@0``; the run is called like them by default."""
    identity, compute = prepare_acoustic(passes.recordings, key, progress=passes.progress)
    record = _describe_frozen(store.corpus, run or key, key, {"feature_set": key})
    return Extractor(record, 0, identity, compute, FEATURE_SETS[key].is_narrow)


def prepare_backbone(store: Store, model: str, *, run: str | None, passes: Passes, **options: Any) -> Extractor:
    """Return what gives the representations of a frozen backbone, as ``run@0``; by default key and ``-frozen``.

    Args:
        options: of :func:`ser_store.backbones.loading.build_model`.

    Raises:
        ModelError: if the backbone cannot be loaded.
    """
    from ser_store.backbones.loading import build_model

    run = run or f"{Path(model).name.partition('@')[0]}-frozen"
    loaded = build_model(model, classes=store.corpus.classes, **options)
    report_loaded(loaded)
    precision = passes.precision or "fp32"
    identity, compute = prepare_network(
        loaded, passes, member=format_member(run, 0), with_logits=False, precision=precision
    )
    record = _describe_frozen(store.corpus, run, model, loaded.origin, loaded.trained_on)
    context = {"whisper_context": loaded.context} if loaded.is_whisper else {}
    return Extractor(record.updated(**context), 0, identity, compute)


def _describe_frozen(
    corpus: Corpus, run: str, model: str, origin: Mapping[str, Any], trained_on: Sequence[str] = ()
) -> RunRecord:
    """The record of a model whose weights may have learned from utterances of this corpus, by their ids."""
    rows = find_rows(corpus, trained_on)
    fitted = Fitted.on_rows(rows, len(corpus)) if len(rows) else Fitted.on_nothing(len(corpus))
    details = {"origin": dict(origin), "versions": list_versions(), KEY: fitted.to_json()}
    return RunRecord(run=run, kind="frozen", backbone=model, details=details)


def prepare_checkpoint(
    store: Store, run: str, *, step: int | None, checkpoint: Path | None, passes: Passes
) -> Extractor:
    """Return what gives logits and representations of a checkpoint of a fine-tuned run.

    Args:
        step: default: the selected step if its checkpoint is there, else the last one that is.
        checkpoint: the checkpoint's folder, where it is not among the run's own.

    Raises:
        ModelError: if there is no checkpoint of the step, or it computes otherwise than the run was trained.
    """
    record = store.run(run)
    if checkpoint is None or step is None:
        step, found = find_checkpoint(store, record, step)
        checkpoint = checkpoint or found
    loaded = _load_checkpoint(store, record, checkpoint)
    recipe: Mapping[str, Any] = record.details.get("recipe", {})
    identity, compute = prepare_network(
        loaded,
        passes,
        member=format_member(run, step),
        with_logits=True,
        precision=passes.precision or recipe.get("precision", "fp32"),
    )
    return Extractor(record, step, identity, compute)


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
            f"expected a checkpoint as it was saved; cache this one with `model` {checkpoint} and a `run` of its own"
        )
    fitted, rows = find_fitted(store, record.run), find_rows(store.corpus, loaded.trained_on)
    if fitted is not None and len(rows) and not np.array_equal(np.flatnonzero(fitted.learned.any(axis=0)), rows):
        raise ModelError(
            f"{checkpoint} was trained on other utterances than run {record.run}: expected a checkpoint of this run; "
            f"cache this one with `model` {checkpoint} and a `run` of its own"
        )
    report_loaded(loaded)
    attention = record.details.get("attention", described["attention"])
    if attention != described["attention"]:
        # A checkpoint does not keep it. Where it cannot be had, the member says what was.
        with suppress(ModelError):
            set_attention(loaded.model, attention)
    return loaded
