"""What a run has learned from, by its record; older records name their split alone."""

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
OTHERS, NOTHING = "others", "nothing"


def find_fitted(store: Store, run: str) -> Fitted | None:
    """Return which utterances the models of a run learned from, through every model below them; None if unknown.

    Raises:
        UnknownNameError: if there is no such run.
        FormatError: if its record is not what FORMAT.md says.
    """
    record, n = store.run(run), len(store.header)
    stated = parse_fitted(record.details, n=n, where=f"run {run}")
    if stated is not None:
        return stated
    if record.kind == "frozen":
        return Fitted.on_nothing(n)
    return _rebuild(store, record) if record.kind in _FITTED_KINDS else None


def find_rows(corpus: Corpus, ids: Sequence[str]) -> NDArray[np.int32]:
    """Return the rows of those ``ids`` that the corpus has, ascending ``(m,)`` int32."""
    return np.flatnonzero(np.isin(corpus.ids, np.array(ids, dtype=np.str_))).astype(np.int32)


def state_fitted(corpus: Corpus, trained_on: str, *, split: str | None = None) -> Fitted:
    """Return what models from elsewhere were fitted on, as their user states it.

    Args:
        corpus: of the store.
        trained_on: a part of the split, such as ``train``; ``others``: each fold was scored by a model of the other
            folds; ``nothing``: none of these utterances.
        split: default: the corpus' default split.

    Raises:
        UnknownNameError: if the split has no such part.
        CorpusError: if the others of folds are meant and the split has none.
    """
    if trained_on == NOTHING:
        return Fitted.on_nothing(len(corpus))
    if trained_on != OTHERS:
        return Fitted.on_rows(corpus.rows(trained_on, split=split), len(corpus))
    folds = [name for name in corpus.part_names(split) if name.startswith("fold-")]
    if len(folds) < 2:
        raise CorpusError(
            f"trained on others, and split {split or corpus.default_split} has the parts "
            f"{', '.join(corpus.part_names(split))}: expected a split into folds; name it with --split"
        )
    scored = [corpus.rows(name, split=split) for name in folds]
    pairs = [
        (np.concatenate([rows for other, rows in enumerate(scored) if other != fold]), held_out)
        for fold, held_out in enumerate(scored)
    ]
    return Fitted.by_fold(pairs, len(corpus))


def _rebuild(store: Store, record: RunRecord) -> Fitted | None:
    """The same from the split that a record of an earlier release names, if the store still has it as it was."""
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
    if record.kind != "head" or not isinstance(source, str) or not store.has_run(parse_member(source)[0]):
        return own
    below = find_fitted(store, parse_member(source)[0])
    return None if below is None else own.joined(below)
