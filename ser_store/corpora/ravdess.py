"""RAVDESS speech, from any nesting of its folders.

Livingstone & Russo 2018, PLoS ONE 13(5): e0196391, doi 10.1371/journal.pone.0196391. File names are
modality-channel-emotion-intensity-statement-repetition-actor; what is read is modality 03 (audio alone) and channel
01 (speech). Odd actors are male, even ones female.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ser_store.audio.decode import AUDIO_SUFFIXES
from ser_store.corpora.building import BuiltCorpus, Cell, Draft, as_column, build_corpus
from ser_store.corpora.folders import find_files
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Column, StrArray
from ser_store_h5.progress import Progress, silent

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
COLUMNS = ("sex", "intensity", "statement", "repetition")
_UNTOLD: Mapping[str, Cell] = {"speaker": "", "sex": "", "intensity": "", "statement": "", "repetition": np.nan}

_ANY_NAME = re.compile(r"\d\d(-\d\d){6}", re.ASCII)
_SPOKEN = "03-01-"
_SPEECH_NAME = re.compile(r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])", re.ASCII)


def load_ravdess(
    audio: Path, *, skip_bad: bool = False, strict: bool = False, progress: Progress = silent
) -> BuiltCorpus:
    """Load the RAVDESS speech recordings anywhere below ``audio``, with their columns, as a corpus.

    Columns: ``sex`` (male, female), ``intensity`` (normal, strong), ``statement`` (kids, dogs), ``repetition``
    (1, 2; int64), ``duration`` and ``sample_rate``; speakers ``01`` to ``24``. Links to folders are followed. Files
    with a RAVDESS name that are song or video are ignored and counted, and so is audio under other names, by a note;
    all other files are ignored.

    Args:
        skip_bad: leave out recordings that cannot be used, instead of refusing: those that cannot be decoded, are
            there in no format that is read, have no such emotion or actor, or lie in folders that cannot be listed.
        strict: a recording that is not as its header says cannot be used.

    Raises:
        CorpusError: if there is no such folder, no RAVDESS recording in it, or the same recording twice.
        AudioError: if a recording cannot be used (unless ``skip_bad``).
    """
    if not audio.is_dir():
        got = "is a file" if audio.exists() else "does not exist"
        raise CorpusError(f"{audio} {got}: expected the folder of the RAVDESS recordings; check `audio`")
    files, left_out = find_files(audio)
    # The whole stem counts: macOS leaves a companion `._NAME` of every file on foreign disks.
    named = [path for path in files if _ANY_NAME.fullmatch(path.stem)]
    spoken = [path for path in named if path.stem.startswith(_SPOKEN)]
    read = [path for path in spoken if path.suffix.lower() in AUDIO_SUFFIXES]
    drafts = [_draft(path, fields) for path in read if (fields := parse_ravdess_id(path.stem)) is not None]
    left_out += _tell_left_out(spoken, read)
    if not drafts:
        first = f"; first: {left_out[0]}" if left_out else ""
        raise CorpusError(
            f"{audio} holds no RAVDESS speech recording among {len(files):,} files: expected names such as "
            f"03-01-05-02-01-01-12.wav (modality 03, channel 01) at any depth; check `audio`, or describe another "
            f"corpus by a table, `corpus` FILE.csv{first}"
        )
    return build_corpus(
        "ravdess",
        drafts,
        audio_root=audio,
        skip_bad=skip_bad,
        strict=strict,
        left_out=left_out,
        ignored=len(named) - len(spoken),
        notes=_tell_unnamed(files),
        progress=progress,
    )


def _tell_left_out(spoken: Sequence[Path], read: Sequence[Path]) -> list[str]:
    """One line for each spoken recording that is there in no format that is read, or that is no RAVDESS utterance."""
    stems = {path.stem for path in read}
    suffixes: dict[Path, list[str]] = defaultdict(list)
    for path in spoken:
        if path.stem not in stems:
            suffixes[path.with_suffix("")].append(path.suffix or "a file without suffix")
    unread = [
        f"{path} is there as {' and '.join(found)} only: expected a recording as WAV, FLAC, MP3, OGG, AIFF, AU or CAF; "
        f"convert it"
        for path, found in suffixes.items()
    ]
    return unread + [
        f"{path} is named like RAVDESS speech but has no such emotion, intensity, statement, repetition or actor: "
        f"expected 03-01-05-02-01-01-12 and the like, actors 01 to 24; rename it, or list the corpus in a manifest"
        for path in read
        if parse_ravdess_id(path.stem) is None
    ]


def _tell_unnamed(files: Sequence[Path]) -> list[str]:
    """A line on audio under other names, if there is any; hidden files and companions `._NAME` are none."""
    unnamed = [
        path
        for path in files
        if path.suffix.lower() in AUDIO_SUFFIXES
        and not path.name.startswith(".")
        and not _ANY_NAME.fullmatch(path.stem)
    ]
    if not unnamed:
        return []
    return [f"audio files without a RAVDESS name, left out: {len(unnamed):,}; the first is {unnamed[0]}"]


def parse_ravdess_id(utterance_id: str) -> dict[str, Cell] | None:
    """Return the ``label``, ``speaker`` and ``COLUMNS`` of a RAVDESS speech recording, or None if the id is not of one.

    >>> parse_ravdess_id("03-01-05-02-01-01-12")["label"]
    'angry'
    """
    match = _SPEECH_NAME.fullmatch(utterance_id)
    if match is None:
        return None
    emotion, intensity, statement, repetition, actor = match.groups()
    return {
        "label": EMOTIONS[emotion],
        "speaker": actor,
        "sex": "male" if int(actor) % 2 else "female",
        "intensity": "normal" if intensity == "01" else "strong",
        "statement": "kids" if statement == "01" else "dogs",
        "repetition": int(repetition),
    }


def describe_ravdess_ids(ids: Iterable[str]) -> tuple[StrArray, dict[str, Column]] | None:
    """Read speakers ``(n,)`` and columns (sex, intensity, statement, repetition) off the ids alone, without audio.

    For an id that is not of RAVDESS speech they are empty, and NaN for the repetition; None if no id is. Labels are
    left out, since predictions bring their own.

    >>> speakers, columns = describe_ravdess_ids(["03-01-05-02-01-01-12", "noise"])
    >>> speakers.tolist(), columns["sex"].tolist()
    (['12', ''], ['female', ''])
    """
    parsed = [parse_ravdess_id(utterance_id) for utterance_id in ids]
    if not any(parsed):
        return None
    told = [fields or _UNTOLD for fields in parsed]
    speakers = np.array([fields["speaker"] for fields in told], dtype=np.str_)
    return speakers, {column: as_column([fields[column] for fields in told]) for column in COLUMNS}


def _draft(path: Path, fields: Mapping[str, Cell]) -> Draft:
    columns = {column: fields[column] for column in COLUMNS}
    return Draft(path.stem, path, str(fields["label"]), str(fields["speaker"]), columns)
