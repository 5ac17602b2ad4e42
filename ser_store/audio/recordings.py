"""The recordings of a corpus: where they are now, whether they are still those it was made from, how long they are."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import compute_audio_digest, load_waveform, resample
from ser_store.errors import AudioError, CorpusError, require
from ser_store_h5.corpus import Corpus

# They are decoded to other samples by other releases of their decoders.
_LOSSY = {".mp3", ".ogg", ".oga", ".opus"}


def resolve_audio(corpus: Corpus, audio: Path | None) -> Path:
    """Return the folder of the recordings: the one given, else where they lay when the corpus was made.

    Raises:
        CorpusError: if the corpus has no recordings, or the folder is not there.
    """
    if corpus.paths is None:
        raise CorpusError(
            f"corpus {corpus.name} has no recordings: expected one made from audio; `init()` with its table as "
            "`corpus` and their folder as `audio` adds them to this store"
        )
    folder = audio or Path(corpus.audio_root or ".")
    if not folder.is_dir():
        raise CorpusError(f"the recordings are not in {folder}: no such folder; say where they are by `audio`")
    return folder


def load_recording(corpus: Corpus, row: int, *, audio: Path) -> NDArray[np.float32]:
    """Return the recording of an utterance as the backbones hear it: ``(n,)`` float32, mono, at 16 kHz.

    Args:
        row: of the utterance.
        audio: the folder of the recordings, from :func:`resolve_audio`.

    Raises:
        AudioError: if it cannot be read, or is not the one that the corpus was made from. Lossy formats are not
            compared.
    """
    if corpus.paths is None:
        raise CorpusError(f"corpus {corpus.name} has no recordings")
    path = audio / str(corpus.paths[row])
    waveform = load_waveform(path)
    digests = None if path.suffix.lower() in _LOSSY else corpus.audio_digests
    if digests is not None and compute_audio_digest(waveform) != digests[row].tobytes():
        raise AudioError(
            f"{path} is not the recording that the store was made from, its samples are others: expected the same; "
            "bring it back, name the right folder by `audio`, or make a store of these by `init()`"
        )
    return resample(waveform.samples, sample_rate=waveform.sample_rate)


def load_durations(corpus: Corpus, rows: NDArray[np.int32], *, audio: Path) -> NDArray[np.float64]:
    """Return the seconds ``(m,)`` of the utterances ``rows``, by the corpus' own column, else by the files' headers.

    Raises:
        CorpusError: if the corpus has no recordings.
        AudioError: naming a recording that cannot be read.
    """
    column = corpus.columns.get("duration")
    if column is not None and np.issubdtype(column.dtype, np.floating) and np.isfinite(column[rows]).all():
        return np.asarray(column[rows], dtype=np.float64)
    if corpus.paths is None:
        raise CorpusError(f"corpus {corpus.name} has no recordings")
    return np.array([_load_seconds(audio / path) for path in corpus.paths[rows].tolist()], dtype=np.float64)


def _load_seconds(path: Path) -> float:
    soundfile = require("soundfile")
    try:
        header = soundfile.info(path)
    except soundfile.SoundFileError:
        return load_waveform(path).seconds  # says what is wrong, if anything is
    return float(header.frames / header.samplerate)
