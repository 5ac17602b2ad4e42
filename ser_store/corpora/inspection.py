"""The recordings of a corpus, decoded again: which are missing or changed, and which are copies of one another."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ser_store.audio.decode import load_waveform
from ser_store.corpora.building import read_recordings
from ser_store.corpora.fingerprints import find_near_duplicates
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus
from ser_store_h5.progress import Progress, silent


@dataclass(frozen=True)
class Inspection:
    """What was found in the recordings.

    Attributes:
        bad_files: one line for each recording that is missing, unusable or not what it was, by path.
        near_duplicates: groups of rows, ascending, whose recordings are one and the same, bit by bit or cut,
            amplified, resampled or encoded again (:mod:`ser_store.corpora.fingerprints`).
        notes: one line for each recording that is not as its header says.
    """

    bad_files: tuple[str, ...]
    near_duplicates: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]


def inspect_recordings(corpus: Corpus, audio_root: Path, *, progress: Progress = silent) -> Inspection:
    """Decode every recording again, compare it with its digest and with all others.

    Raises:
        CorpusError: if the corpus has no audio, or ``audio_root`` is no folder.
        MissingExtraError: without the ``train`` extra.
    """
    if corpus.paths is None or corpus.audio_digests is None:
        raise CorpusError(
            "the corpus was made without audio: expected recordings to look at; `init()` with its table as `corpus` "
            "and their folder as `audio` adds them to this store"
        )
    if not audio_root.is_dir():
        raise CorpusError(f"{audio_root} is not a folder: expected the recordings' folder; name it by `audio`")
    paths = [audio_root / path for path in corpus.paths.tolist()]
    recordings = read_recordings(paths, fingerprints=True, progress=progress)
    bad = {}
    for row, (path, recording) in enumerate(zip(paths, recordings, strict=True)):
        if recording.problem is not None:
            bad[path] = recording.problem
        elif recording.digest != corpus.audio_digests[row].tobytes():
            bad[path] = (
                f"{path} is not the recording that the corpus was made from: expected the same samples; bring the "
                f"old file back, or make the store anew"
            )
    silence = np.zeros(0, dtype=np.uint32)
    fingerprints = [silence if recording.fingerprint is None else recording.fingerprint for recording in recordings]
    load = lru_cache(maxsize=32)(lambda place: load_waveform(paths[place]))
    near_duplicates = tuple(tuple(group) for group in find_near_duplicates(fingerprints, load))
    notes = tuple(recording.note for recording in recordings if recording.note is not None)
    return Inspection(tuple(bad[path] for path in sorted(bad)), near_duplicates, notes)
