"""What a sweep fits: each kind on each input, by each protocol, on all or some of the training utterances."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_number
from ser_store.corpora.splits.train_eval_rows import Rows, list_folds
from ser_store.errors import CorpusError, StoreError
from ser_store.heads.classifiers import Classifier, describe_estimator
from ser_store.heads.folds import DRAWN, Pairs, Protocol
from ser_store.heads.inputs import Normalise
from ser_store.heads.requests import HeadRequest, list_requests
from ser_store.heads.trials import Input, Places, Tune
from ser_store_h5.corpus import Corpus
from ser_store_h5.names import list_names


@dataclass(frozen=True)
class Amount:
    """How many of the training utterances heads are fitted on.

    Attributes:
        share: of the utterances of each class, one at least.
        per_class: how many of each class, or all where there are fewer; None for a share.
    """

    share: float = 1.0
    per_class: int | None = None

    @property
    def is_all(self) -> bool:
        return self.per_class is None and self.share == 1

    @property
    def rank(self) -> tuple[float, int]:
        """Higher of the larger amount; a number per class stands below any share."""
        return (0.0, self.per_class) if self.per_class is not None else (self.share, 0)

    def __str__(self) -> str:
        if self.per_class is not None:
            return f"{self.per_class} per class"
        return "all" if self.is_all else f"{self.share * 100:g}%"

    def draw(self, labels: NDArray[np.integer[Any]], train: Places, *, seed: Sequence[int]) -> Places:
        """Return so many of the training utterances, ascending; a smaller amount is part of a larger one.

        Args:
            labels: ``(n,)`` class indices.
            train: places among them.
            seed: what is drawn by.

        >>> labels = np.array([0, 0, 0, 0, 1, 1])
        >>> Amount(0.5).draw(labels, np.arange(6), seed=[42, 0]).tolist()
        [2, 3, 4]
        >>> len(Amount(per_class=3).draw(labels, np.arange(6), seed=[42, 0]))
        5
        """
        if self.is_all:
            return train
        rng, drawn = np.random.default_rng(seed), []
        for label in np.unique(labels[train]):
            own = rng.permutation(train[labels[train] == label])
            drawn.append(own[: self.per_class or max(1, round(self.share * len(own)))])
        return np.sort(np.concatenate(drawn))


@dataclass(frozen=True, eq=False)
class Cell:
    """One figure of a sweep.

    Attributes:
        request: the classifier and its input, with the settings to choose from where they are tuned.
        normalise: what inputs are standardised on.
        protocol: by what it is judged.
        amount: of the training utterances.
        repeat: which draw of that amount.
    """

    request: HeadRequest
    normalise: Normalise
    protocol: Protocol
    amount: Amount = Amount()
    repeat: int = 0

    @property
    def input(self) -> Input:
        return self.request.inputs[0]

    @property
    def way(self) -> tuple[object, ...]:
        """What all draws of the same amount have in common."""
        return self.request.kind, self.input, self.normalise, self.protocol, self.amount

    def describe(self) -> dict[str, Any]:
        """Return what its line in the table says of it."""
        protocol = {"split": self.protocol.split, "fold": self.protocol.fold, "cv": self.protocol.cv}
        return {
            "kind": self.request.kind,
            "source": self.input.source,
            "layer": self.input.layer,
            "normalise": self.normalise,
            **protocol,
            "seed": self.protocol.seed,
            "train": str(self.amount),
            "repeat": self.repeat,
        }

    def identify(self, content: str, pairs: Pairs) -> str:
        """Return the SHA-256 (hex) of all that its figure follows from.

        Args:
            content: a digest of what is fitted on: representations, labels and speakers.
            pairs: of each fold the rows to fit on, before the amount is drawn, and to score.
        """
        trials = [describe_estimator(trial.estimator) for trial in self.request.heads[0]]
        stated = {**self.describe(), "trials": trials, "tuned": self.request.is_tuned, "content": content}
        digest = hashlib.sha256(json.dumps(stated, sort_keys=True).encode())
        for rows in (own for pair in pairs for own in pair):
            digest.update(np.ascontiguousarray(rows, dtype="<i4").tobytes() + b"|")
        return digest.hexdigest()


def list_sweep_requests(inputs: Sequence[Input], classifiers: Sequence[Classifier], *, tune: Tune) -> list[HeadRequest]:
    """Return a request for each classifier on each input; tuning chooses settings alone."""
    return [list_requests([[one]], [own], tune=tune, combine=None)[0] for one in inputs for own in classifiers]


def list_amounts(
    train_share: float | Sequence[float] | None, per_class: int | Sequence[int] | None, repeats: int
) -> list[tuple[Amount, int]]:
    """Return each amount of training utterances, and how often it is drawn.

    Raises:
        StoreError: if a share is not above 0 and at most 1, or a number not 1 or more.
    """
    check_number("repeats", repeats, StoreError, least=1, whole=True)
    shares = [] if train_share is None else np.atleast_1d(train_share).tolist()
    numbers = [] if per_class is None else np.atleast_1d(per_class).tolist()
    for share in shares:
        check_number("train_share", share, StoreError, least=1e-6, most=1, expected="a share above 0, at most 1")
    for number in numbers:
        check_number("per_class", number, StoreError, least=1, whole=True)
    amounts = [Amount(float(share)) for share in shares] + [Amount(per_class=number) for number in numbers]
    return [(one, 1 if one.is_all else repeats) for one in dict.fromkeys(amounts or [Amount()])]


def list_protocols(
    corpus: Corpus, *, split: str | None, fold: int | None, cv: str | Sequence[str] | None, folds: int | None, seed: int
) -> list[Protocol]:
    """Return what heads are judged by; a split into folds is cross-validated unless one of them is named.

    Raises:
        StoreError: if a split or a fold is given beside a cross-validation.
    """
    named = [] if cv is None else list_names(cv)
    if named and (split is not None or fold is not None):
        raise StoreError(
            f"`cv` {', '.join(named)} with a `split` or a `fold`: expected one of them; leave the other out"
        )
    chosen = split or corpus.default_split
    if not named and fold is None and chosen is not None and _has_folds(corpus, chosen):
        named = [chosen]
    if not named:
        return [Protocol(split, fold, None, folds, seed)]
    return [Protocol(None, None, one, folds if one in DRAWN else None, seed) for one in dict.fromkeys(named)]


def name_protocol(corpus: Corpus, protocol: Protocol) -> str:
    """Return what tables call it: its cross-validation, or its split and the fold that is scored."""
    if protocol.cv is not None:
        return protocol.cv
    fold = "" if protocol.fold is None else f" fold-{protocol.fold}"
    return f"{protocol.split or corpus.default_split}{fold}"


def deal_rows(corpus: Corpus, protocol: Protocol, covered: Rows) -> list[tuple[Rows, Rows]]:
    """Return of each fold the rows to fit on and to score: of a split its test part, where it has one."""
    pairs, _ = protocol.deal(corpus, covered)
    if protocol.cv is None and "test" in corpus.part_names(protocol.split):
        return [(pairs[0][0], corpus.rows("test", split=protocol.split))]
    return pairs


def _has_folds(corpus: Corpus, split: str) -> bool:
    try:
        return bool(list_folds(corpus, split))
    except CorpusError:
        return False
