"""From a list of recordings to a corpus: what every source of corpora shares. Decodes, checks and digests each file."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from ser_store.audio.decode import compute_audio_digest, load_waveform
from ser_store.common.threads import map_threaded
from ser_store.corpora.fingerprints import Words, compute_fingerprint
from ser_store.corpora.label_map import LabelMap
from ser_store.errors import AudioError, CorpusError, require
from ser_store_h5 import corpus_file as store_format
from ser_store_h5.corpus import Column, Corpus, order_classes
from ser_store_h5.progress import Progress, silent

RESERVED_COLUMNS = frozenset({"utterance", "path", "label", "speaker"})
MEASURED_COLUMNS = ("duration", "sample_rate")
"""Columns that building adds: seconds (float64) and samples per second (int64) of every file."""

# Control characters, line and paragraph separators, and what stands for bytes of a file name that are not UTF-8.
_UNSTORABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Cell = str | int | float


@dataclass(frozen=True)
class Draft:
    """An utterance before its recording was decoded.

    Attributes:
        id: the utterance's id.
        path: its recording; where there is none, what its table calls it.
        label: its class by name.
        speaker: who speaks, empty where unknown; None for all utterances of a corpus that knows no speakers.
        columns: further columns, the same names for all utterances of a corpus.
    """

    id: str
    path: Path
    label: str
    speaker: str | None = None
    columns: Mapping[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class BuiltCorpus:
    """A corpus read from recordings, and what did not get into it.

    Attributes:
        corpus: the utterances whose recordings are sound.
        skipped: one line per recording that was left out because it cannot be used.
        ignored: how many files belong to the data set but are not meant: songs, videos.
        ignored_as: what these are, and what is meant instead.
        notes: one line for each recording that is not as its header says, for what else was seen and not read, and for
            what was understood and may not have been meant.
    """

    corpus: Corpus
    skipped: tuple[str, ...] = ()
    ignored: int = 0
    notes: tuple[str, ...] = ()
    ignored_as: str = ""


@dataclass(frozen=True)
class Reading:
    """How recordings are read.

    Attributes:
        labels: what the labels mean; default: what they say.
        skip_bad: leave out recordings that cannot be used, instead of refusing.
        strict: a recording that is not as its header says cannot be used.
        progress: shows how far it is.
    """

    labels: LabelMap | None = None
    skip_bad: bool = False
    strict: bool = False
    progress: Progress = silent


@dataclass(frozen=True)
class Recording:
    """What is kept of a decoded file: its digest, measures, note and, where asked for, fingerprint; or its problem."""

    digest: bytes = b""
    seconds: float = 0.0
    sample_rate: int = 0
    fingerprint: Words | None = None
    note: str | None = None
    problem: str | None = None


def build_corpus(
    name: str,
    drafts: Sequence[Draft],
    *,
    audio_root: Path,
    reading: Reading,
    left_out: Sequence[str] = (),
) -> BuiltCorpus:
    """Decode every draft's recording and make the corpus, in ascending order of id, classes in alphabetical order.

    The corpus has the drafts' columns and ``MEASURED_COLUMNS``, which take the place of columns of the same name.
    Paths are relative to ``audio_root`` or, where a recording lies outside it, to the deepest folder that holds
    them all.

    Args:
        left_out: one line for each recording of the corpus that is no draft, since it cannot be read.

    Raises:
        CorpusError: if two drafts share an id, or a name is not allowed.
        AudioError: if a recording cannot be used (unless ``reading.skip_bad``), or none can; says how many and names
            the first by path.
    """
    _check_drafts(drafts)
    by_path = sorted(drafts, key=lambda draft: draft.path)
    recordings = read_recordings([draft.path for draft in by_path], progress=reading.progress)
    if reading.strict:
        recordings = [replace(recording, problem=recording.problem or recording.note) for recording in recordings]
    problems = (*left_out, *(recording.problem for recording in recordings if recording.problem is not None))
    usable = [pair for pair in zip(by_path, recordings, strict=True) if pair[1].problem is None]
    if problems and not (reading.skip_bad and usable):
        way_out = "mend them, or leave them out by `skip_bad`" if usable else "check the audio folder"
        count = len(problems) + len(usable)
        raise AudioError(f"{len(problems)} of {count} recordings cannot be used; {way_out}; first: {problems[0]}")
    notes = tuple(recording.note for _, recording in usable if recording.note is not None)
    usable.sort(key=lambda pair: pair[0].id)
    kept, read = [draft for draft, _ in usable], [recording for _, recording in usable]
    root = _find_root([draft.path for draft in kept], audio_root)
    corpus = _describe(name, kept)
    measured: dict[str, Column] = {
        "duration": np.array([recording.seconds for recording in read], dtype=np.float64),
        "sample_rate": np.array([recording.sample_rate for recording in read], dtype=np.int64),
    }
    corpus = replace(
        corpus,
        columns={**corpus.columns, **measured},
        paths=np.array([_absolute(draft.path).relative_to(root).as_posix() for draft in kept], dtype=np.str_),
        audio_root=str(root),
        audio_digests=np.frombuffer(b"".join(recording.digest for recording in read), np.uint8).reshape(-1, 32),
    )
    return BuiltCorpus(corpus, skipped=problems, notes=notes)


def build_without_audio(name: str, drafts: Sequence[Draft]) -> BuiltCorpus:
    """Make the corpus of utterances whose recordings are not there; as :func:`build_corpus`, but for what it measures.

    Raises:
        CorpusError: if two drafts share an id, or a name is not allowed.
    """
    _check_drafts(drafts)
    return BuiltCorpus(_describe(name, sorted(drafts, key=lambda draft: draft.id)))


def _describe(name: str, drafts: Sequence[Draft]) -> Corpus:
    """The corpus of drafts in ascending order of id, without what is known of their recordings."""
    classes = order_classes(draft.label for draft in drafts)
    index = {label: place for place, label in enumerate(classes)}
    return Corpus(
        name=name,
        ids=np.array([draft.id for draft in drafts], dtype=np.str_),
        labels=np.array([index[draft.label] for draft in drafts]).astype(np.int16),
        classes=classes,
        speakers=None if drafts[0].speaker is None else np.array([draft.speaker for draft in drafts], dtype=np.str_),
        columns={column: as_column([draft.columns[column] for draft in drafts]) for column in drafts[0].columns},
    )


def relabel(drafts: Sequence[Draft], labels: LabelMap) -> tuple[list[Draft], list[str]]:
    """Return the utterances with the classes that a label map gives them, without those it drops, and what it did.

    Raises:
        CorpusError: if it drops all.
    """
    given = [draft.label for draft in drafts]
    pairs = zip(drafts, labels.apply(given), strict=True)
    kept = [replace(draft, label=label) for draft, label in pairs if label is not None]
    if not kept:
        raise CorpusError(
            f"{labels.file} drops every utterance: expected labels such as {', '.join(sorted(set(given))[:8])} in it"
        )
    return kept, labels.describe(given)


def read_recordings(
    paths: Sequence[Path], *, fingerprints: bool = False, progress: Progress = silent
) -> list[Recording]:
    """Decode and digest files on all cores, in the order of ``paths``. One that cannot be used says why.

    Args:
        fingerprints: also compute each recording's acoustic fingerprint.

    Raises:
        MissingExtraError: without the ``train`` extra.
    """
    require("soundfile")  # once and before the threads
    read = partial(_read_recording, fingerprints=fingerprints)
    return map_threaded(read, paths, progress=progress, label="recordings")


def check_column_name(name: str) -> None:
    """Refuse what cannot be a column of a corpus.

    Raises:
        CorpusError: if the name is one of ``RESERVED_COLUMNS``, or the store's format cannot hold it.
    """
    if name in RESERVED_COLUMNS:
        raise CorpusError(f"column {name!r} is what every corpus has anyway: expected another name; rename the column")
    store_format.check_column_name(name)


def as_column(cells: Sequence[Cell]) -> Column:
    """Return the cells as a column ``(n,)``: int64 if all are whole numbers, float64 if all are numbers, else str.

    >>> as_column([1, 2.5]).dtype, as_column(["f", "m"]).tolist()
    (dtype('float64'), ['f', 'm'])
    """
    if all(isinstance(cell, int) for cell in cells):
        return np.array(cells, dtype=np.int64)
    if all(isinstance(cell, int | float) for cell in cells):
        return np.array(cells, dtype=np.float64)
    return np.array([str(cell).replace("\0", "") for cell in cells], dtype=np.str_)  # numpy and HDF5 end text at NUL


def _read_recording(path: Path, *, fingerprints: bool) -> Recording:
    try:
        waveform = load_waveform(path)
    except AudioError as problem:
        return Recording(problem=str(problem))
    fingerprint = None
    if fingerprints:
        fingerprint = compute_fingerprint(waveform.samples, sample_rate=waveform.sample_rate)
    digest = compute_audio_digest(waveform)
    return Recording(digest, waveform.seconds, waveform.sample_rate, fingerprint, waveform.note)


def _check_drafts(drafts: Sequence[Draft]) -> None:
    if not drafts:
        raise CorpusError("the corpus has no utterances: expected at least one")
    for column in drafts[0].columns:
        check_column_name(column)
    seen: dict[str, Path] = {}
    for draft in drafts:
        cells = [draft.id, draft.label, draft.speaker or "", str(draft.path)]
        if not draft.id or _UNSTORABLE.search("".join(cells)):
            raise CorpusError(
                f"{str(draft.path)!r} has the id {draft.id!r}, label {draft.label!r} and speaker {draft.speaker!r}: "
                f"expected an id, and text without line breaks or control characters; mend its name or row"
            )
        if draft.id in seen:
            raise CorpusError(
                f"two recordings have the id {draft.id!r}: {seen[draft.id]} and {draft.path}; expected unique ids; "
                f"remove one, name a folder that holds only one, or list the recordings in a manifest with a column "
                f"'utterance'"
            )
        seen[draft.id] = draft.path


def _absolute(path: Path) -> Path:
    # Not resolved: recordings that are links keep the names that the user knows.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _find_root(paths: Sequence[Path], audio_root: Path) -> Path:
    try:
        return Path(os.path.commonpath([_absolute(audio_root), *(_absolute(path).parent for path in paths)]))
    except ValueError as drives:
        raise CorpusError(
            f"the recordings lie on several drives ({audio_root} and {paths[0]}): expected one; copy them together"
        ) from drives
