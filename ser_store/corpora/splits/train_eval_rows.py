"""The rows of a split that a model is trained on, and those that it is evaluated on."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus

Rows = NDArray[np.int32]
# Which fold is a fold's validation part: the one after it, after the last one the first.
Valid = Literal["next"]
_FOLD: Final = re.compile(r"fold-[0-9]+")


@dataclass(frozen=True)
class TrainEvalRows:
    """The utterances that are trained on, those that are evaluated, and those that the curves show.

    Attributes:
        train: rows trained on.
        evaluated: rows that each cached member covers: all that are not trained on.
        monitored: the part of ``evaluated`` that loss and accuracy in the curves are of: ``valid`` where the split
            has it, so that watching the curves leaves ``test`` untouched.
        on: the name of the monitored part.
    """

    train: Rows
    evaluated: Rows
    monitored: Rows
    on: str


def check_trainable(corpus: Corpus, split: str | None = None) -> None:
    """Refuse a split that nothing can be both trained on and evaluated by.

    Raises:
        CorpusError: if it has neither ``train`` and another part nor two folds.
    """
    names, shown = corpus.part_names(split), split or corpus.default_split
    if names == ["train"]:
        raise CorpusError(f"split {shown} has no valid or test part: expected one to evaluate; choose another `split`")
    if "train" not in names and not (len(names) > 1 and any(name.startswith("fold-") for name in names)):
        shown_names = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
        raise CorpusError(
            f"split {shown} has the parts {shown_names}: expected train and others, or folds; choose another `split`"
        )


def is_folded(corpus: Corpus, split: str) -> bool:
    """Return whether a split consists of folds, two or more."""
    names = corpus.part_names(split)
    return len(names) > 1 and all(_FOLD.fullmatch(name) for name in names)


def list_folds(corpus: Corpus, split: str) -> list[int]:
    """Return the numbers of the folds that a split consists of, ascending.

    Raises:
        CorpusError: if it has other parts.
    """
    if not is_folded(corpus, split):
        raise CorpusError(
            f"split {split} has the parts {', '.join(corpus.part_names(split)[:12])}: expected one that consists of "
            "folds; name another split"
        )
    return sorted(int(name.removeprefix("fold-")) for name in corpus.part_names(split))


def choose_train_eval_rows(
    corpus: Corpus, *, split: str | None = None, fold: int | None = None, valid: Valid | None = None
) -> TrainEvalRows:
    """Return the train and eval rows of a split; of folds, ``fold`` is evaluated and the others are trained on.

    With ``valid="next"`` the fold after it is not trained on either, and is the one that is monitored.

    Raises:
        CorpusError: if the split has no part to train on or to evaluate, or a fold is missing or too much.
        UnknownNameError: if there is no such choice of a validation part.

    >>> import ser_store as ss
    >>> from ser_store.corpora.splits.draw import add_split
    >>> corpus = add_split(ss.open_example().corpus, "emobox")
    >>> rows = choose_train_eval_rows(corpus, split="emobox", fold=1)
    >>> rows.on, sorted(set(corpus.speakers[rows.evaluated].tolist()))
    ('fold-1', ['01', '11', '20', '21'])
    """
    check_trainable(corpus, split)
    if valid is not None:
        check_choice("`valid`", valid, get_args(Valid))
    names = corpus.part_names(split)
    shown = split or corpus.default_split
    if "train" in names:
        if valid is not None:
            raise CorpusError(
                f"split {shown} has no folds: got `valid` {valid}; expected none, or a `split` into folds"
            )
        if fold is not None:
            raise CorpusError(f"split {shown} has no folds: got `fold` {fold}; expected none, or a `split` into folds")
        others = [name for name in names if name != "train"]
        on = "valid" if "valid" in others else "test" if "test" in others else others[0]
        train = corpus.rows("train", split=split)
    else:
        on = f"fold-{fold}"
        if fold is None or on not in names:
            raise CorpusError(
                f"split {shown} has the parts {', '.join(names)}: expected a `fold`, the one to evaluate while the "
                "others are trained on"
            )
        others = [on]
        if valid is not None:
            on = _find_next(corpus, str(shown), fold)
            others.append(on)
        train = np.sort(np.concatenate([corpus.rows(name, split=split) for name in names if name not in others]))
    evaluated = np.sort(np.concatenate([corpus.rows(name, split=split) for name in others]))
    return TrainEvalRows(train=train, evaluated=evaluated, monitored=corpus.rows(on, split=split), on=on)


def _find_next(corpus: Corpus, split: str, fold: int) -> str:
    folds = list_folds(corpus, split)
    if len(folds) < 3:
        raise CorpusError(
            f"split {split} has {len(folds)} folds: expected three or more for `valid` next, which trains on neither "
            "the fold nor the one after it; leave `valid` out"
        )
    return f"fold-{folds[(folds.index(fold) + 1) % len(folds)]}"


def digest_train_eval_rows(train_eval: TrainEvalRows) -> str:
    """Return the SHA-256 (hex) of the rows trained on, evaluated and monitored."""
    digest = hashlib.sha256()
    for rows in (train_eval.train, train_eval.evaluated, train_eval.monitored):
        digest.update(np.ascontiguousarray(rows, dtype="<i4").tobytes() + b"|")
    return digest.hexdigest()
