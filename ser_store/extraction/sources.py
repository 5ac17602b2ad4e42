"""What a member is extracted from: a feature set, a frozen backbone, or a checkpoint of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.recordings import Recordings
from ser_store.backbones.acoustic import FEATURE_SETS
from ser_store.backbones.catalogue import lookup
from ser_store.backbones.description import Init
from ser_store.common.log import LOGGER, report_loaded
from ser_store.common.provenance import list_differences, list_versions
from ser_store.common.threads import map_threaded, single_torch_thread
from ser_store.corpora.class_pairing import KEY as KEY_APPLIED
from ser_store.corpora.class_pairing import Pairing, pair_classes
from ser_store.corpora.label_map import LabelMap
from ser_store.corpora.splits.fitted import find_fitted, find_rows
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.errors import ModelError, require
from ser_store.extraction.network import Compute, Passes, Piece, iter_counted, prepare_network
from ser_store.heads.inputs import classify_by_speaker, find_speakers
from ser_store.training.checkpointing.checkpoints import find_checkpoint
from ser_store.training.distributed.processes import find_share
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.names import format_member
from ser_store_h5.progress import Progress, silent
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

_AT_ONCE = 256
Answer = Callable[[Rows, NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Extractor:
    """One member to be extracted.

    Attributes:
        record: of its run; what a new run says of itself.
        step: its step.
        identity: what its numbers are known by, a part of the member's provenance.
        compute: gives them for rows of the corpus.
        is_narrow: whether the store keeps them as float16, where their range fits.
        answer: gives the logits of all rows and their representations at once, where an utterance is answered among
            the others of its speaker.
    """

    record: RunRecord
    step: int
    identity: Mapping[str, Any]
    compute: Compute
    is_narrow: bool = True
    answer: Answer | None = None

    @property
    def name(self) -> str:
        """The member's name."""
        return format_member(self.record.run, self.step)


def prepare_feature_set(store: Store, key: str, *, run: str | None, passes: Passes) -> Extractor:
    """Return what gives the acoustic features ``key``, as ``run@0``; the run is called like them by default."""
    identity, compute = prepare_acoustic(passes.recordings, key, progress=passes.progress)
    record = _describe_frozen(store.corpus, run or key, key, {"feature_set": key})
    return Extractor(record, 0, identity, compute, FEATURE_SETS[key].is_narrow)


def prepare_backbone(
    store: Store,
    model: str,
    *,
    run: str | None,
    passes: Passes,
    labels: LabelMap | None = None,
    init: Init = "pretrained",
    checkpoint: Path | None = None,
    **options: Any,
) -> Extractor:
    """Return what gives the representations of a frozen backbone, as ``run@0``; by default key and ``-frozen``.

    Of a classifier that was trained before it gives the logits too, of the classes that the corpus has as well.

    Args:
        labels: says which classes mean the same.
        init: of :func:`ser_store.backbones.loading.build_model`, and so the others.

    Raises:
        ModelError: if the backbone cannot be loaded.
    """
    from ser_store.backbones.loading import build_model, find_classifier
    from ser_store.backbones.source import find_source

    run = run or f"{Path(model).name.partition('@')[0]}-frozen"
    source = find_source(model, init=init, checkpoint=checkpoint)
    loaded: Any = find_classifier(source)
    if loaded is None and labels is not None:
        raise ModelError(f"`labels` with `model` {model}, which has no classes: expected a trained one; leave it out")
    pairing = None if loaded is None else _pair_trained(store.corpus, run, loaded, labels, passes, options)
    if pairing is None:
        loaded = build_model(source, classes=store.corpus.classes, **options)
    report_loaded(loaded)
    by_speaker = pairing is not None and loaded.model.config.head == "linear-by-speaker"
    precision, with_logits = passes.precision or "fp32", pairing is not None and not by_speaker
    identity, compute = prepare_network(
        loaded, passes, member=format_member(run, 0), with_logits=with_logits, precision=precision
    )
    origin = loaded.origin if pairing is None else source.origin
    record = _describe_frozen(store.corpus, run, model, origin, loaded.trained_on)
    context = {"whisper_context": loaded.context} if loaded.is_whisper else {}
    extractor = Extractor(record.updated(**context), 0, identity, compute)
    if by_speaker:
        extractor = _answer_by_speaker(extractor, loaded.model, store.corpus)
    return extractor if pairing is None else answer_in_corpus(extractor, pairing, {"model": Path(model).name})


def _pair_trained(
    corpus: Corpus, run: str, trained: Any, labels: LabelMap | None, passes: Passes, options: Mapping[str, Any]
) -> Pairing | None:
    """Which classes a trained classifier can answer here; None, and a line, where it gives representations alone."""
    own = trained.model.config
    pairing = pair_classes(own.classes, corpus.classes, labels)
    why = ""
    if len(pairing.shared) < 2:
        why = f"of its classes {', '.join(own.classes)} corpus {corpus.name} has {len(pairing.shared)}, two are needed"
    elif own.head == "linear-by-speaker" and corpus.speaker_groups() is None:
        why = (
            f"its head hears how an utterance differs from the others of its speaker, of whom {corpus.name} knows none"
        )
    elif own.head == "linear-by-speaker" and (passes.layers != "last" or passes.statistics):
        why = "its head hears what it pools itself: `layers` and `statistics` left out, it answers"
    elif (options["pooling"], options["context"]) != (own.pooling, "utterance"):
        why = f"it was trained with `pooling` {own.pooling} and `whisper_context` utterance"
    if not why:
        return pairing
    LOGGER.info("%s: representations alone, no logits: %s", run, why)
    return None


def _answer_by_speaker(extractor: Extractor, model: Any, corpus: Corpus) -> Extractor:
    """Return the same with the logits of all utterances, each heard among those of its speaker that are extracted."""
    from ser_store.backbones.digest import compute_model_digest

    def answer(rows: Rows, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        speakers = find_speakers(corpus, rows)
        _, counts = np.unique(speakers, return_counts=True)
        if alone := int((counts == 1).sum()):
            LOGGER.info(
                "%s: utterances that have no other of their speaker beside them, and differ from none: %d; its answers "
                "to them say nothing",
                extractor.name,
                alone,
            )
        return classify_by_speaker(model.classifier, pooled, speakers)

    identity = {**extractor.identity, "model_digest": compute_model_digest(model)}
    return replace(extractor, record=extractor.record.updated(normalise="speaker"), identity=identity, answer=answer)


def answer_in_corpus(extractor: Extractor, pairing: Pairing, applied: Mapping[str, Any]) -> Extractor:
    """Return the same with the logits of the corpus' classes; the record says where they come from, and what is lost.

    Args:
        applied: what the record says beside the classes.
    """
    for line in pairing.describe(extractor.record.run):
        LOGGER.info("%s", line)

    def compute(rows: Rows, done: Rows) -> Iterator[Piece]:
        for piece in extractor.compute(rows, done):
            yield piece if piece.logits is None else replace(piece, logits=pairing.place(piece.logits))

    answer = extractor.answer
    stated: dict[str, Any] = {KEY_APPLIED: {**applied, **pairing.to_json()}}
    identity = {} if pairing.is_same else {"classes": {pairing.own[own]: there for own, there in pairing.meant.items()}}
    return replace(
        extractor,
        record=extractor.record.updated(**stated),
        identity={**extractor.identity, **identity},
        compute=compute,
        answer=None if answer is None else lambda rows, pooled: pairing.place(answer(rows, pooled)),
    )


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


def prepare_acoustic(recordings: Recordings, key: str, *, progress: Progress) -> tuple[dict[str, Any], Compute]:
    """Return what identifies the numbers of an acoustic feature set, and what computes them.

    Raises:
        MissingExtraError: if its toolkit is not installed.
    """
    require(lookup(key).architecture)
    features = FEATURE_SETS[key]

    def describe(row: int) -> NDArray[np.float32]:
        return features.compute(recordings.load(row))

    def iter_pieces(own: Rows) -> Iterator[Piece]:
        for start in range(0, len(own), _AT_ONCE):
            rows = own[start : start + _AT_ONCE]
            # An utterance is too small to share among torch's threads; whole utterances are shared among ours.
            with single_torch_thread():
                described = map_threaded(describe, rows.tolist(), progress=silent, label=key)
            yield Piece(rows, None, np.stack([described]))

    def compute(rows: Rows, done: Rows) -> Iterator[Piece]:
        own = np.setdiff1d(rows, done)[find_share()]
        return iter_counted(iter_pieces(own), total=len(own), progress=progress)

    identity = {"model_digest": None, "preprocessing": features.settings, "pooling": "statistics", "precision": "fp32"}
    return identity, compute
