"""``predict``: what a member or an ensemble says of any recordings."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ser_store.audio.recordings import resolve_audio
from ser_store.common.checks import check_choice, check_number
from ser_store.common.display import format_count
from ser_store.errors import AudioError, EnsembleError, ModelError, SerstoreError, StoreError, require
from ser_store.evaluation.choice.ensemble_names import EnsembleRule
from ser_store.extraction.again import find_classifier, find_feature_set, prepare_again, prepare_classifier
from ser_store.extraction.filling import OnBad
from ser_store.extraction.network import Passes
from ser_store.extraction.sources import Extractor
from ser_store.prediction.answers import Answerer, Ensemble, Network, Said
from ser_store.prediction.members import find_answerer
from ser_store.prediction.outputs import compute_outputs
from ser_store.prediction.predictions import Predictions
from ser_store.prediction.recordings import (
    Span,
    SpanRecordings,
    caution_learned,
    check_window,
    cut_spans,
    describe_heard,
    find_recordings,
    hear,
)
from ser_store.recipes.recipe import Precision
from ser_store.training.distributed.processes import count_processes
from ser_store.voting.checks import Tie
from ser_store_h5.names import PLUS, parse_member
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.store import Store, StoreLike, open_store

Device = Literal["cpu", "cuda"]
Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
# By how much a recording may be longer than the longest of the corpus, or shorter than the shortest, before it is said.
_FAR = 2


@dataclass(frozen=True)
class _Model:
    """What answers, and where its networks come from: a store, or the folder of a classifier alone."""

    answerer: Answerer
    classes: tuple[str, ...]
    store: Store | None
    checkpoint: Path | None

    def prepare(self, member: str, layers: Collection[int | None], passes: Passes) -> Extractor:
        if self.store is not None:
            return prepare_again(self.store, member, passes, layers=layers, checkpoint=self.checkpoint)
        if self.checkpoint is None:
            raise TypeError(f"{member} is of neither a store nor a folder")
        return prepare_classifier(self.checkpoint, member, passes)


def predict(
    model: str | os.PathLike[str],
    files: Files = (),
    *,
    store: StoreLike | None = None,
    window: float | None = None,
    hop: float | None = None,
    rule: EnsembleRule | None = None,
    tie: Tie | None = None,
    audio: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    device: Device | None = None,
    batch_size: int = 8,
    precision: Precision | None = None,
    on_bad: OnBad = "fail",
    progress: ProgressLike = False,
) -> Predictions:
    """Say which class recordings are of, by a member or an ensemble of a store, or by a published model.

    Recordings pass the same code as those of a corpus, so that of one of its own the store has the same numbers, to
    rounding. Of a member over folds, and of a head over folds, the mean of what the models of all folds say is taken.

    Args:
        model: a fine-tuned run, or its member ``run@step``, whose checkpoint is kept; a head that was fitted with
            ``keep`` on representations that can be made again; several of them joined by ``+``; a saved ensemble;
            or, without a store, a folder or hub id of a fine-tuned classifier, as
            :func:`~ser_store.push_to_hub` publishes it. What is no run and has a slash in it is a folder or a hub id.
        files: files, and folders of which every recording below is taken, by its suffix. Of a folder or hub id, by
            default the recordings of the store.
        store: has the members.
        window: say something of each window of so many seconds in place of whole recordings; the last one ends with its
            recording, and shorter recordings are a window of their own.
        hop: seconds from one window's beginning to the next one's. Default: the window, so that none overlap.
        rule: by which members that are joined by ``+`` vote: ``hard``, ``soft`` or ``soft-log``; or ``pool`` or
            ``greedy-pool``, whose weights are fitted on what the members say of the store's test part, of the default
            split, else of all. Default: hard; a saved ensemble has its own.
        tie: how their hard votes break ties. Default: ``lowest``. ``best`` goes by accuracy on the store's test part.
        audio: the folder of the store's recordings, if these are meant. Default: where they lay.
        checkpoint: a folder with the weights of the one network below, where they do not lie where they did.
        device: ``cpu`` or ``cuda``. Default: the GPU where there is one.
        batch_size: recordings or windows for each forward pass; half as many, and so on, where memory runs out.
        precision: number format of the forward passes, see :func:`~ser_store.extract`. Default: the member's own.
        on_bad: what a recording does that cannot be used: ``fail`` ends the call before anything is computed, ``skip``
            leaves it out.
        progress: show a bar; or a function that does, see :class:`ser_store_h5.progress.Progress`.

    Returns:
        A row for each recording or window, in the order of the files: class, and the probabilities of all classes; of
        hard votes the shares of the votes; none of what says classes or decision values alone.

    Raises:
        AudioError: naming a recording that cannot be used; if there is none.
        EnsembleError: if a rule is stated where nothing votes, or cannot be applied.
        ModelError: if weights are missing, or are others than they were.
        StoreError: if a head was not kept, or the member's program is not at hand.
        UnknownNameError: if there is no such member, rule or precision.

    >>> import ser_store as ss
    >>> recordings = ss.write_synthetic_corpus("recordings", speakers=3)
    >>> store = ss.init("my.store", corpus="ravdess", audio="recordings", split="speaker").store
    >>> _ = ss.extract(store, model="mfcc")
    >>> _ = ss.head(store, "mfcc", kind="lda", keep=True)
    >>> said = ss.predict("mfcc-lda", "recordings/Actor_01", store=store)
    >>> said.members, said.to_frame().height, said.to_frame().columns[:5]
    (('mfcc-lda@0',), 60, ['file', 'start', 'end', 'label', 'p_angry'])
    """
    _check_options(on_bad, precision, device, batch_size)
    check_window(window, hop)
    found = _find_model(model, store, rule=rule, tie=tie, checkpoint=None if checkpoint is None else Path(checkpoint))
    paths, left = find_recordings(_list_files(found, files, store, audio))
    show = to_progress(progress)
    heard, unusable = hear(paths, skips_bad=on_bad == "skip", progress=show)
    spans = cut_spans(heard, window, hop)
    passes = Passes(
        SpanRecordings(spans, are_windows=window is not None),
        batch_size=batch_size,
        precision=precision,
        progress=show,
        device=device,
        are_kept=False,
    )
    outputs = compute_outputs(
        found.answerer.needs(),
        len(spans),
        lambda member, layers: found.prepare(member, layers, passes),
        store=found.store,
    )
    said = found.answerer.say(outputs)
    answerer, notes = found.answerer, [*left, *describe_heard(heard), *_compare_lengths(found.store, spans)]
    members = tuple(one.name for one in answerer.members) if isinstance(answerer, Ensemble) else (answerer.name,)
    if found.store is not None:
        runs = list(dict.fromkeys(parse_member(member)[0] for member in members))
        notes += caution_learned(found.store, runs, heard)
    if unusable:
        first = next(iter(unusable.values()))
        notes.append(f"left out {format_count(len(unusable), 'recording')} that cannot be used; the first: {first}")
    return Predictions(
        members=members,
        rule=answerer.rule if isinstance(answerer, Ensemble) else None,
        classes=found.classes,
        spans=tuple(spans),
        predicted=said.predicted,
        probabilities=said.shares,
        left_out=unusable,
        notes=(*notes, *_explain(answerer, said)),
    )


def _check_options(on_bad: str, precision: str | None, device: str | None, batch_size: int) -> None:
    check_choice("on_bad", on_bad, get_args(OnBad))
    if precision is not None:
        check_choice("precision", precision, get_args(Precision))
    check_number("batch_size", batch_size, ModelError, least=1, whole=True)
    if device is not None:
        check_choice("device", device, get_args(Device))
        if device == "cuda" and not require("torch").cuda.is_available():
            raise ModelError("`device` is cuda: there is no GPU that torch can use; expected cpu, or leave it out")
    if count_processes() > 1:
        raise ModelError(f"{count_processes()} processes predict together: expected one; start the command by itself")


def _find_model(
    model: str | os.PathLike[str],
    store: StoreLike | None,
    *,
    rule: EnsembleRule | None,
    tie: Tie | None,
    checkpoint: Path | None,
) -> _Model:
    name = os.fspath(model)
    if _is_outside(model, store):
        given = {"rule": rule, "tie": tie, "checkpoint": checkpoint}
        for parameter, value in given.items():
            if value is not None:
                raise EnsembleError(f"`{parameter}` with {name}, which is one model: expected none; leave it out")
        folder, classes = find_classifier(name)
        return _Model(Network(name), classes, None, folder)
    if store is None:
        raise StoreError(f"{name} is no folder: expected a `store` with a member of this name, or a folder or hub id")
    opened = open_store(store)
    answerer = find_answerer(opened, name, rule=rule, tie=tie, checkpoint=checkpoint)
    if checkpoint is not None:
        networks = {member for member, _ in answerer.needs() if not find_feature_set(opened, member)}
        if len(networks) != 1:
            named = f"{name}, which {format_count(len(networks), 'network')} answer for"
            raise ModelError(f"`checkpoint` {checkpoint} with {named}: expected one; leave it out")
    return _Model(answerer, opened.corpus.classes, opened, checkpoint)


def _is_outside(model: str | os.PathLike[str], store: StoreLike | None) -> bool:
    """Whether a folder or a hub id is meant: a path, what has a slash, or a folder that no run is called like."""
    name = os.fspath(model)
    if not isinstance(model, str) or "/" in name or os.sep in name:
        return True
    if PLUS in name or not Path(name).expanduser().is_dir():
        return False
    try:
        return store is None or not open_store(store).has_run(name)
    except SerstoreError:
        return True


def _list_files(
    found: _Model, files: Files, store: StoreLike | None, audio: str | os.PathLike[str] | None
) -> list[str | os.PathLike[str]]:
    """Return the files and folders that are meant.

    Raises:
        AudioError: if none are named where they have to be.
    """
    named = [files] if isinstance(files, str | os.PathLike) else list(files)
    if named:
        if audio is not None:
            raise AudioError(f"`audio` {audio} is where the store's recordings are, and files are named: leave it out")
        return named
    if found.store is not None or store is None:
        raise AudioError(
            "no recordings are named: expected files, or folders of them; what members say of the store's own, "
            "`export()` writes"
        )
    corpus = open_store(store).corpus
    folder = resolve_audio(corpus, None if audio is None else Path(audio))
    return [folder / path for path in ([] if corpus.paths is None else corpus.paths.tolist())]


def _compare_lengths(store: Store | None, spans: Sequence[Span]) -> Iterator[str]:
    """Yield what is far longer or shorter than what the store's corpus has, where that is known."""
    column = None if store is None else store.corpus.columns.get("duration")
    if column is None or not np.issubdtype(column.dtype, np.floating) or not np.isfinite(column).all():
        return
    seconds = np.array([span.end - span.start for span in spans])
    longest, shortest = float(column.max()), float(column.min())
    if n := int((seconds > _FAR * longest).sum()):
        yield (
            f"caution: {n} of {len(spans)} are more than {_FAR} times as long as the longest recording of the corpus "
            f"({longest:.1f} s), up to {seconds.max():.1f} s: one answer for all of it; `window` says one for each part"
        )
    if n := int((seconds < shortest / _FAR).sum()):
        yield (
            f"caution: {n} of {len(spans)} are less than half as long as the shortest recording of the corpus "
            f"({shortest:.1f} s), down to {seconds.min():.1f} s"
        )


def _explain(answerer: Answerer, said: Said) -> Iterator[str]:
    yield from answerer.explain()
    if said.shares is None:
        yield f"{answerer.name} says {said.lacking}: no probabilities are given"
