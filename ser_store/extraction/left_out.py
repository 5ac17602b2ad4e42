"""Recordings that cannot be used: found before the others are computed, so that none ends an extraction."""

import numpy as np

from ser_store.audio.recordings import Recordings
from ser_store.common.threads import map_threaded
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.errors import AudioError
from ser_store_h5.progress import Progress


def find_unusable(recordings: Recordings, rows: Rows, *, progress: Progress) -> dict[int, str]:
    """Decode every recording of ``rows`` once; returns why, by row, of those of which nothing can be computed."""

    def complain(row: int) -> str | None:
        try:
            recordings.load(row)
        except AudioError as problem:
            return str(problem)
        return None

    said = map_threaded(complain, rows.tolist(), progress=progress, label="decoding")
    return {row: problem for row, problem in zip(rows.tolist(), said, strict=True) if problem is not None}


def list_usable(rows: Rows, unusable: dict[int, str]) -> Rows:
    """Return the rows without those that cannot be used."""
    return np.setdiff1d(rows, np.array(list(unusable), dtype=np.int32))
