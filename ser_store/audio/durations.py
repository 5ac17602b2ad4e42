"""How long recordings are, without decoding them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import load_waveform
from ser_store.errors import CorpusError, require
from ser_store_h5.corpus import Corpus

_COLUMN = "duration"


def load_durations(corpus: Corpus, rows: NDArray[np.int32], *, audio: Path) -> NDArray[np.float64]:
    """Seconds ``(m,)`` of the utterances ``rows``: the corpus' own column, else what the files' headers say.

    Raises:
        CorpusError: if the corpus has no recordings.
        AudioError: naming a recording that cannot be read.
    """
    column = corpus.columns.get(_COLUMN)
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
