"""Acoustic features of an extraction, one utterance a thread."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.recordings import Recordings
from ser_store.backbones.acoustic import FEATURE_SETS
from ser_store.backbones.catalogue import lookup
from ser_store.common.threads import map_threaded, single_torch_thread
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.errors import require
from ser_store.extraction.network import Compute, Piece, iter_counted
from ser_store.training.distributed.processes import find_share
from ser_store_h5.progress import Progress, silent

_AT_ONCE = 256


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
