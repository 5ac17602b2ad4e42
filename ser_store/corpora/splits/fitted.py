"""The utterances that a run's models were trained on, from its record; older records only name their split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.splits.train_eval_rows import choose_train_eval_rows, digest_train_eval_rows
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import Fitted, parse_fitted
from ser_store_h5.names import parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

_FITTED_KINDS = ("finetune", "head")
_UNSTATED = "does not state what it learned from"
Rows = NDArray[np.int32]


def find_fitted(store: Store, run: str) -> Fitted | None:
    """Return which utterances the models of a run learned from, through every model below them; None if unknown.

    Raises:
        UnknownNameError: if there is no such run.
        FormatError: if its record is not what FORMAT.md says.
    """
    return find_fitted_by(store, store.run(run))


def find_fitted_by(store: Store, record: RunRecord) -> Fitted | None:
    """Return the same of a record, also of a run that is not in the store yet."""
    n = len(store.header)
    stated = parse_fitted(record.details, n=n, where=f"run {record.run}")
    if stated is not None:
        return stated
    if record.kind == "frozen":
        return Fitted.on_nothing(n)
    return _rebuild(store, record) if record.kind in _FITTED_KINDS else None


def explain_unknown(store: Store, record: RunRecord) -> tuple[str, str]:
    """Return why :func:`find_fitted_by` gives None: the run that does not say it, or one below it, and a clause on it.

    >>> import ser_store as ss
    >>> store = ss.Store.create("unknown.store", ids=["a", "b"], labels=["happy", "sad"])
    >>> _ = store.add("mine", ids=["a", "b"], pooled=[[0.1, 1.3], [2.0, -1.0]])
    >>> explain_unknown(store, store.run("mine"))
    ('mine', 'does not state what it learned from')
    """
    run = record.run
    if record.kind == "head":
        below = parse_member(str(record.details.get("source")))[0]
        if not store.has_run(below):
            return below, "is not in this store"
        if find_fitted(store, below) is None:
            return explain_unknown(store, store.run(below))
        if record.details.get("cv") is not None:
            return run, "was cross-validated by a release that did not keep the folds"
    if record.kind == "ensemble":
        return _explain_members(store, record)
    if record.kind in _FITTED_KINDS and record.details.get("split") is not None:
        return run, "was trained by a split that this store does not have as it was"
    return run, _UNSTATED


def _explain_members(store: Store, record: RunRecord) -> tuple[str, str]:
    """Return the same of a saved ensemble; imports that say nothing are passed over, as where they stand alone."""
    stated = record.details.get("members")
    members = [one for one in stated if isinstance(one, str)] if isinstance(stated, list) else []
    for run in dict.fromkeys(parse_member(one)[0] for one in members):
        if store.has_run(run) and find_fitted(store, run) is None:
            found = explain_unknown(store, store.run(run))
            if found[1] != _UNSTATED:
                return found
    return record.run, _UNSTATED


def find_rows(corpus: Corpus, ids: Sequence[str]) -> NDArray[np.int32]:
    """Return the rows of those ``ids`` that the corpus has, ascending ``(m,)`` int32."""
    return np.flatnonzero(np.isin(corpus.ids, np.array(ids, dtype=np.str_))).astype(np.int32)


def _rebuild(store: Store, record: RunRecord) -> Fitted | None:
    """The same, from the split that an older record names, if the store still has it as it was."""
    details, corpus = record.details, store.corpus
    if details.get("cv") is not None or details.get("split") not in corpus.splits:
        return None
    try:
        train_eval = choose_train_eval_rows(corpus, split=details["split"], fold=details.get("fold"))
    except CorpusError:
        return None
    if details.get("sides_digest", digest_train_eval_rows(train_eval)) != digest_train_eval_rows(train_eval):
        return None
    own = Fitted.on_rows(train_eval.train, len(corpus))
    source = details.get("source")
    if record.kind != "head":
        return own
    source_run = parse_member(str(source))[0]
    below = find_fitted(store, source_run) if store.has_run(source_run) else None
    return None if below is None else own.joined(below)


def find_heard(here: Store, run: str, there: Corpus) -> tuple[Fitted | None, int]:
    """Return which utterances of another store's corpus the models of a run learned from, None if that is unknown; and
    how many of its speakers are called as one that they learned from.

    Raises:
        UnknownNameError: if there is no such run.
    """
    fitted = find_fitted(here, run)
    if fitted is None:
        return None, 0
    rows = np.flatnonzero(fitted.learned.any(axis=0)).astype(np.int32)
    same = find_same(here.corpus, rows, there)
    return Fitted.on_rows(same, len(there)), count_same_speakers(here.corpus, rows, there)


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
