"""What a model that learned in one store has heard of another's corpus: the same utterances, and the same names."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.splits.fitted import find_fitted
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import Fitted
from ser_store_h5.store import Store

Rows = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Heard:
    """What models have heard of a corpus that they were not fitted in.

    Attributes:
        fitted: the utterances that they learned from; None if that is unknown.
        speakers: how many speakers are called as one that they learned from.
    """

    fitted: Fitted | None
    speakers: int


def find_heard(here: Store, run: str, there: Corpus) -> Heard:
    """Return what the models of a run have heard of another store's corpus.

    Raises:
        UnknownNameError: if there is no such run.
    """
    fitted = find_fitted(here, run)
    if fitted is None:
        return Heard(None, 0)
    rows = np.flatnonzero(fitted.learned.any(axis=0)).astype(np.int32)
    same = find_same(here.corpus, rows, there)
    return Heard(Fitted.on_rows(same, len(there)), count_same_speakers(here.corpus, rows, there))


def find_same(here: Corpus, rows: Rows, there: Corpus) -> Rows:
    """Return the utterances of ``there`` that are among ``rows`` of ``here``, by id or by their samples, ascending.

    >>> import ser_store as ss
    >>> here = ss.Store.create("here.store", ids=["a", "b", "c"], labels=["sad", "happy", "sad"]).corpus
    >>> there = ss.Store.create("there.store", ids=["b", "c", "d"], labels=["sad", "happy", "sad"]).corpus
    >>> find_same(here, np.array([0, 1]), there).tolist()
    [0]
    """
    same = np.isin(there.ids, here.ids[rows])
    if here.audio_digests is not None and there.audio_digests is not None:
        known = {digest.tobytes() for digest in here.audio_digests[rows]}
        same |= np.array([digest.tobytes() in known for digest in there.audio_digests])
    return np.flatnonzero(same).astype(np.int32)


def count_same_speakers(here: Corpus, rows: Rows, there: Corpus) -> int:
    """Return how many speakers of ``there`` are called as one of ``rows`` of ``here``."""
    heard = () if here.speakers is None else set(here.speakers[rows].tolist())
    return len(set(there.known_speakers) & set(heard))
