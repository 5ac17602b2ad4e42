"""Which utterances a head is fitted on and which it scores: by a split, or over all of its folds in turn."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import format_count
from ser_store.corpora.splits.train_eval_rows import Rows, choose_train_eval_rows, is_folded, list_folds
from ser_store.errors import CorpusError, StoreError, UnknownNameError, describe_unknown
from ser_store_h5.corpus import Corpus

DEFAULT_FOLDS = 5
DRAWN = ("speaker", "utterance")
_FOLD = "fold-"

Pairs = Sequence[tuple[Rows, Rows]]


@dataclass(frozen=True)
class Protocol:
    """By what a head is judged; see :func:`ser_store.heads.heads.head`."""

    split: str | None = None
    fold: int | None = None
    cv: str | None = None
    folds: int | None = None
    seed: int = 42

    def deal(self, corpus: Corpus, covered: Rows) -> tuple[list[tuple[Rows, Rows]], list[str | None]]:
        """Return the rows to fit on and the rows to score, a pair for each fold, and what the folds are called."""
        if self.cv is None:
            chosen = choose_train_eval_rows(corpus, split=self.split, fold=self.fold)
            return [(chosen.train, chosen.evaluated)], [None]
        pairs = cross_validate(corpus, covered, self.cv, folds=self.folds, seed=self.seed)
        if self.cv in DRAWN:
            return pairs, [f"{_FOLD}{place + 1}" for place in range(len(pairs))]
        return pairs, [f"{_FOLD}{number}" for number in list_folds(corpus, self.cv)]

    def describe(self, corpus: Corpus, n_folds: int) -> dict[str, Any]:
        """Return what the record of a head says of it."""
        if self.cv is None:
            split, fold, folds = self.split or corpus.default_split, self.fold, None
        else:
            split, fold, folds = None, None, n_folds
        return {"split": split, "fold": fold, "cv": self.cv, "folds": folds, "seed": self.seed}


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
        known = (*DRAWN, *filter(partial(is_folded, corpus), corpus.splits))
        way_out = "`splits()` with `add` makes a split into folds"
        raise UnknownNameError(describe_unknown("cross-validation", str(cv), known, way_out=way_out))
    return _draw_folds(corpus, rows, cv, DEFAULT_FOLDS if folds is None else folds, seed)


def _take_folds(corpus: Corpus, rows: Rows, split: str, folds: int | None) -> list[tuple[Rows, Rows]]:
    if folds is not None:
        raise StoreError(f"`folds` is {folds} and `cv` is the split {split}, which has its own: leave `folds` out")
    numbers = list_folds(corpus, split)
    chosen = [choose_train_eval_rows(corpus, split=split, fold=number) for number in numbers]
    pairs = [(np.intersect1d(one.train, rows), np.intersect1d(one.evaluated, rows)) for one in chosen]
    for number, (train, scored) in zip(numbers, pairs, strict=True):
        if not len(train) or not len(scored):
            raise CorpusError(
                f"fold {number} of split {split} has {len(scored)} utterances with representations, the other folds "
                f"have {len(train)}: expected some of both; name another `cv`, or make the others with `extract()`"
            )
    return pairs


def split_by_speaker(
    labels: NDArray[np.integer[Any]], speakers: NDArray[np.str_] | None, *, seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the folds of whole speakers that tuning judges by: positions to fit on, and to score.

    Args:
        labels: ``(n,)`` of the training utterances.
        speakers: ``(n,)`` of the same; None if the corpus knows none.
        seed: what the folds are drawn by, as many as there are speakers, and 5 at most.

    Raises:
        CorpusError: if there are fewer than two speakers.

    >>> pairs = split_by_speaker(np.array([0, 1, 0, 1]), np.array(["a", "a", "b", "b"]), seed=42)
    >>> sorted(scored.tolist() for _, scored in pairs)
    [[0, 1], [2, 3]]
    """
    from sklearn.model_selection import StratifiedGroupKFold

    n_speakers = 0 if speakers is None else len(set(speakers.tolist()))
    if n_speakers < 2:
        raise CorpusError(
            f"the training utterances are of {format_count(n_speakers, 'known speaker')}: expected at least 2 for "
            "`tune` and `combine` pool, which judge heads on speakers that they were not fitted on; leave them out"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes rarer than folds
        drawn = StratifiedGroupKFold(min(DEFAULT_FOLDS, n_speakers), shuffle=True, random_state=seed)
        pairs = list(drawn.split(labels, labels, speakers))
    return [(train, scored) for train, scored in pairs if len(scored)]


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
            raise CorpusError(
                f"{format_count(n_speakers, 'speaker')}: expected at least as many as `folds`, {folds}; take fewer "
                "`folds`, or `cv` utterance"
            )
        pairs = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(rows, labels, speakers)
    return [(np.sort(rows[train]), np.sort(rows[held_out])) for train, held_out in pairs]
