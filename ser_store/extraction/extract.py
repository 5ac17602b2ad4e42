"""Extraction: representations (and logits) of the whole corpus from a checkpoint, a frozen backbone or a feature set.

What is in the store already, from the same model, recordings and preprocessing, is not computed again.
"""

import math
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from ser_store.audio.recordings import CorpusRecordings, resolve_audio
from ser_store.backbones.catalogue import is_acoustic
from ser_store.backbones.description import Context, Init, Pooling, Statistic
from ser_store.common.checks import check_choice, check_number
from ser_store.common.log import report_left_out
from ser_store.corpora.label_map import LabelMap, read_label_map
from ser_store.errors import ModelError, require
from ser_store.evaluation.choice.member_choice import describe_unreadable
from ser_store.extraction.classifier import check_classifier, prepare_classifier
from ser_store.extraction.filling import Extraction, OnBad, fill
from ser_store.extraction.layers import parse_layers, parse_statistics
from ser_store.extraction.network import Passes
from ser_store.extraction.sources import Extractor, prepare_backbone, prepare_checkpoint, prepare_feature_set
from ser_store.inference.transforms import play
from ser_store.recipes.recipe import Precision
from ser_store.training.checkpointing.checkpoints import list_checkpoints
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.store import Store, StoreLike, open_store


def extract(
    store: StoreLike,
    *,
    model: str | None = None,
    run: str | None = None,
    step: int | None = None,
    audio: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    init: Init = "pretrained",
    pooling: Pooling = "mean",
    layers: str | int | Sequence[int] = "last",
    statistics: str | Sequence[str] | None = None,
    seed: int = 42,
    whisper_context: Context = "utterance",
    batch_size: int | None = None,
    batch_seconds: float | None = None,
    window_seconds: float | None = None,
    speed: float = 1.0,
    precision: Precision | None = None,
    on_bad: OnBad = "fail",
    classifier: bool = False,
    trained_on: str | None = None,
    progress: ProgressLike = False,
) -> list[Extraction]:
    """Cache representations of the whole corpus: of a frozen ``model``, or of runs that have a checkpoint.

    Of a run's checkpoint its logits are cached as well, and those of a ``model`` that was trained on another corpus, as
    far as both have the same classes: it chooses among these, and never answers others. One that was trained as
    ``linear-by-speaker`` answers to an utterance as it differs from all others of its speaker that are extracted.
    Utterances that the store holds already are not computed again.

    Args:
        store: a store, or its path.
        model: a frozen backbone or an acoustic feature set: a name that :func:`~ser_store.models` lists, a hub id, or a
            local folder.
        run: with a model, the name of the new run; by default the key of a feature set, key and ``-frozen`` of a
            backbone. Without a model, the run whose checkpoint is used; by default every run that has one.
        step: of a run, the step whose checkpoint is used. Default: the selected one if its checkpoint is there, else
            the last one that is.
        audio: the folder of the recordings. Default: where they lay when the store was made.
        checkpoint: a folder with the weights, where they are not the hub's or the run's own. One of another store is a
            ``model`` by itself, where none is named and ``run``, if it is, is a new one.
        labels: of a trained ``model``, a label map that says which of its classes mean the same as the corpus', see
            :func:`ser_store.corpora.label_map.read_label_map`.
        init: of a backbone: ``pretrained`` or ``random`` weights.
        pooling: of a backbone, how its frames become one vector: ``mean``, ``sum`` or ``max``.
        layers: the hidden states that are pooled in one forward pass: ``all``, ``last``, or numbers: 3, ``"3,4,5"`` or
            ``[3, 4, 5]``. They are those of transformers' ``hidden_states``: 0 is what enters the first transformer
            layer, and their number is the top, the last one, which ends with the final layer norm where the model has
            one. A member with several is read by ``store.pooled(name, layer=3)``, and its ``pooled`` is the last one.
        statistics: of the frames of each layer: ``mean``, ``std`` (the population standard deviation), or both,
            ``"mean,std"``, one after the other. Default: what ``pooling`` says.
        seed: of ``random`` weights.
        whisper_context: what a frozen Whisper looks at: the ``utterance``, or the ``full`` thirty seconds around it.
        batch_size: utterances for each forward pass, which are of nearly the same length; half as many, and so on,
            where memory runs out. Default: 8, or no limit where there is one of seconds.
        batch_seconds: of sound in each forward pass, padding counted: few long utterances, or many short ones.
        window_seconds: what is longer passes the model in windows of equal length and at most so many seconds, each of
            which looks at itself alone; their frames are pooled together. It belongs to what an extraction is known by.
            Memory is that of a window then, and of the samples: an hour takes less than 2 GB. Whisper cuts into its
            thirty seconds by itself, all of them in memory.
        speed: of a model, play the recordings so many times as fast, 0.5 to 2 in whole hundredths, which changes pitch
            and length, under a ``run`` of its own: other versions of the same utterances, which a head can be fitted
            on too, see ``augment`` of :func:`ser_store.head`.
        precision: number format of the forward passes: ``fp32``, ``tf32``, ``fp16`` or ``bf16``, the fastest on CPUs
            that have it. Default: ``fp32``; of a run's checkpoint, what the run was trained in.
        on_bad: what a recording does that is missing, damaged, too short or not finite: ``fail`` ends the extraction;
            ``skip`` decodes all of them once beforehand and leaves these out, which the run's record lists under
            ``left_out``. Once they are mended, the same call computes them.
        classifier: with ``model``, a folder or hub id: keep the logits of the classifier that was saved with it too,
            on the classes that both have, by name. It may be transformers' own, ``Wav2Vec2ForSequenceClassification``
            and the like, with its classes in ``id2label`` of its configuration.
        trained_on: what that classifier was fitted on: a part of the split, ``others`` (all folds but its own) or
            ``nothing`` of this corpus. Default: not known.
        progress: show a bar over the utterances; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Raises:
        ModelError: if there is nothing to extract from, it cannot be loaded, or has no such layer.
        MemoryLimitError: if a single utterance does not fit into memory.
        AudioError: naming a recording that cannot be used; all of them, where none can.
        StoreError: if the member is there from another model, recordings, preprocessing or layers; says which differ.

    >>> import ser_store as ss
    >>> recordings = ss.write_synthetic_corpus("recordings", speakers=3)
    >>> made = ss.init("my.store", corpus="ravdess", audio="recordings", split="speaker")
    >>> ss.extract("my.store", model="mfcc")[0].computed
    180
    """
    check_choice("on_bad", on_bad, get_args(OnBad))
    size = _find_batch_size(batch_size, batch_seconds)
    whole, measured = parse_layers(layers), parse_statistics(statistics, pooling)
    if classifier or trained_on is not None:
        others = {"init": (init, "pretrained"), "pooling": (pooling, "mean"), "window_seconds": (window_seconds, None)}
        check_classifier(model, classifier, **others)
    _check_windows(model, window_seconds, whisper_context)
    _check_speed(speed, model, run)
    _check_combination(model, step, whisper_context, layers=whole, statistics=measured, precision=precision)
    store, weights = open_store(store), None if checkpoint is None else Path(checkpoint)
    model = _name_model(store, model, run, weights)
    meant = _read_labels(labels, model)
    runs = [] if model is not None else _list_extractable(store) if run is None else [run]
    recordings = CorpusRecordings(store.corpus, resolve_audio(store.corpus, None if audio is None else Path(audio)))
    passes = Passes(
        play(recordings, speed),
        size,
        batch_seconds or math.inf,
        precision,
        to_progress(progress),
        whole,
        measured,
        window_seconds or math.inf,
    )
    require("torch" if model is not None and is_acoustic(model) else "transformers")
    extractors: Iterable[Extractor]
    if model is None:
        extractors = (prepare_checkpoint(store, one, step=step, checkpoint=weights, passes=passes) for one in runs)
    elif is_acoustic(model):
        extractors = [prepare_feature_set(store, model, run=run, passes=passes)]
    elif classifier:
        given: dict[str, Any] = {"checkpoint": weights, "trained_on": trained_on, "labels": meant}
        extractors = [prepare_classifier(store, model, run=run, passes=passes, **given)]
    else:
        options: dict[str, Any] = {"pooling": pooling, "init": init, "checkpoint": weights, "labels": meant}
        options |= {"seed": seed, "context": whisper_context}
        extractors = [prepare_backbone(store, model, run=run, passes=passes, **options)]
    stated = {} if speed == 1 else {"speed": speed}
    return [
        fill(
            store,
            replace(one, identity={**one.identity, **stated}),
            recordings,
            on_bad=on_bad,
            progress=passes.progress,
        )
        for one in extractors
    ]


def _name_model(store: Store, model: str | None, run: str | None, checkpoint: Path | None) -> str | None:
    """The folder of a checkpoint that is none of a run in this store is a model of its own."""
    if model is not None or checkpoint is None:
        return model
    trained = [name for name, record in store.survey().records.items() if record.kind == "finetune"]
    return None if (run in trained if run is not None else trained) else str(checkpoint)


def _read_labels(labels: str | os.PathLike[str] | None, model: str | None) -> LabelMap | None:
    if labels is not None and (model is None or is_acoustic(model)):
        raise ModelError(
            f"`labels` with {f'`model` {model}' if model else 'runs of this store'}: expected a model that was trained "
            "on another corpus; leave it out"
        )
    return None if labels is None else read_label_map(labels)


def _find_batch_size(size: int | None, seconds: float | None) -> int:
    """How many utterances a forward pass has at most."""
    if size is not None:
        check_number("batch_size", size, ModelError, least=1, whole=True)
    if seconds is not None:
        check_number("batch_seconds", seconds, ModelError, least=1)
    return size or (8 if seconds is None else sys.maxsize)


def _check_windows(model: str | None, seconds: float | None, whisper_context: str) -> None:
    if seconds is None:
        return
    check_number("window_seconds", seconds, ModelError, least=1)
    if model is not None and is_acoustic(model):
        raise ModelError(f"`window_seconds` with `model` {model}: a feature set takes utterances whole; leave it out")
    if whisper_context != "utterance":
        raise ModelError(
            f"`window_seconds` with `whisper_context` {whisper_context}: its windows are Whisper's thirty seconds; "
            "leave one of the two out"
        )


def _check_speed(speed: float, model: str | None, run: str | None) -> None:
    check_number("speed", speed, ModelError, least=0.5, most=2)
    if round(100 * speed) != round(100 * speed, 6):
        raise ModelError(f"`speed` is {speed}: expected whole hundredths, such as {round(speed, 2)}")
    if speed != 1 and (model is None or run is None):
        raise ModelError(
            f"`speed` {speed:g} without `{'run' if model else 'model'}`: expected a `model` and a `run` of its own, "
            "beside that of the recordings as they are"
        )


def _check_combination(
    model: str | None,
    step: int | None,
    whisper_context: str,
    *,
    layers: str | tuple[int, ...],
    statistics: tuple[Statistic, ...],
    precision: str | None,
) -> None:
    if precision is not None:
        check_choice("precision", precision, get_args(Precision))
    if model is not None and step is not None:
        raise ModelError(f"`step` {step} with `model` {model}: a frozen backbone has step 0 only; leave `step` out")
    if model is not None and is_acoustic(model) and (layers != "last" or statistics or precision):
        given = "`precision`" if precision else "`statistics`" if statistics else "`layers`"
        raise ModelError(
            f"{given} with `model` {model}: a feature set has neither layers nor frames, and one precision; leave it "
            "out"
        )
    if whisper_context == "utterance":
        return
    if model is None:
        raise ModelError(
            f"`whisper_context` {whisper_context} without `model`: a run's checkpoints look at utterances as they did "
            "in training; leave it out, or name a frozen backbone with `model`"
        )
    if is_acoustic(model):
        raise ModelError(f"`whisper_context` {whisper_context} with `model` {model}: no Whisper; leave it out")


def _list_extractable(store: Store) -> list[str]:
    """The runs with a checkpoint of which every file can be read; what is damaged is said.

    Raises:
        ModelError: if there is none.
    """
    survey = store.survey()
    whole = [run for run in survey.records if {m.step for m in survey.members if m.run == run} == {*store.steps(run)}]
    report_left_out(describe_unreadable([run for run in store.runs() if run not in whole]))
    runs = [run for run in whole if list_checkpoints(store, survey.records[run])]
    if not runs:
        raise ModelError(
            f"no run in {store.path} has a checkpoint: expected one to extract from; name a backbone with `model`, or "
            "train one with `finetune()`"
        )
    return runs
