"""Which utterances a head is fitted on and which it scores: by a split, or over all of its folds in turn."""

import re
from collections.abc import Sequence

import numpy as np

from ser_store.corpora.splits.train_eval_rows import Rows, choose_train_eval_rows
from ser_store.errors import CorpusError, StoreError, UnknownNameError, describe_unknown
from ser_store_h5.corpus import Corpus

DEFAULT_FOLDS = 5
DRAWN = ("speaker", "utterance")
_FOLD = "fold-"
_NUMBERED = re.compile(_FOLD + r"[0-9]+")

Pairs = Sequence[tuple[Rows, Rows]]


def cross_validate(corpus: Corpus, rows: Rows, cv: str, *, folds: int | None, seed: int) -> list[tuple[Rows, Rows]]:
    """Return for each fold the rows to fit on and the rows to score, both ascending.

    Args:
        rows: the utterances that there are representations of.
        cv: ``speaker`` or ``utterance``, of which folds are drawn, or a split of the corpus that consists of folds.
        folds: how many are drawn.
        seed: what they are drawn by.

    Raises:
        CorpusError: if the split does not consist of folds, or there are too few speakers.
        StoreError: if a number of folds is given for a split.
        UnknownNameError: if there is no such cross-validation.

    >>> import ser_store as ss
    >>> corpus = ss.open_example().corpus
    >>> pairs = cross_validate(corpus, corpus.rows("all"), "speaker", folds=6, seed=42)
    >>> len(pairs), sum(len(scored) for _, scored in pairs)
    (6, 288)
    """
    if cv in corpus.splits and cv not in DRAWN:
        return _take_folds(corpus, rows, cv, folds)
    if cv not in DRAWN:
        raise UnknownNameError(describe_unknown("cross-validation", str(cv), (*DRAWN, *_list_fold_splits(corpus))))
    return _draw_folds(corpus, rows, cv, DEFAULT_FOLDS if folds is None else folds, seed)


def _list_fold_splits(corpus: Corpus) -> list[str]:
    """Splits of which every part is a fold with a number."""
    return [split for split in corpus.splits if all(map(_NUMBERED.fullmatch, corpus.part_names(split)))]


def _take_folds(corpus: Corpus, rows: Rows, split: str, folds: int | None) -> list[tuple[Rows, Rows]]:
    if folds is not None:
        raise StoreError(f"`folds` is {folds} and `cv` is the split {split}, which has its own: leave `folds` out")
    if split not in _list_fold_splits(corpus):
        raise CorpusError(
            f"split {split} has the parts {', '.join(corpus.part_names(split)[:12])}: expected one that consists of "
            "folds, or `cv` speaker"
        )
    numbers = [int(part.removeprefix(_FOLD)) for part in corpus.part_names(split)]
    chosen = [choose_train_eval_rows(corpus, split=split, fold=number) for number in numbers]
    return [(np.intersect1d(one.train, rows), np.intersect1d(one.evaluated, rows)) for one in chosen]


def _draw_folds(corpus: Corpus, rows: Rows, cv: str, folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels = corpus.labels[rows]
    if cv == "utterance":
        pairs = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels)
    else:
        speakers = corpus.speaker_groups(rows)
        if speakers is None:
            raise CorpusError(
                f"corpus {corpus.name} knows no speakers: expected some for `cv` speaker; take `cv` utterance"
            )
        n_speakers = len(set(speakers.tolist()))
        if n_speakers < folds:
            raise CorpusError(f"there are {n_speakers} speakers: expected at least as many as `folds`, {folds}")
        pairs = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(rows, labels, speakers)
    return [(np.sort(rows[train]), np.sort(rows[held_out])) for train, held_out in pairs]
