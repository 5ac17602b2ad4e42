"""What the models of a run have learned from: the one statement that says which of its figures can be trusted."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.corpus import Corpus
from ser_store_h5.errors import CorpusError, FormatError, UnknownNameError, describe_unknown

KEY = "fitted"
OTHERS, NOTHING = "others", "nothing"


@dataclass(frozen=True, eq=False)
class Fitted:
    """Which utterances each model of a run was fitted on, those of the backbone below it included.

    A run has one model, or several that share its utterances, such as one for each fold.

    Attributes:
        learned: ``(n_models, n)`` bool: whether the model learned from the utterance; no model learned from anything
            where ``n_models`` is 0.
        scored_by: ``(n,)`` intp: the model that scores each utterance, an index into ``learned``.
    """

    learned: NDArray[np.bool_]
    scored_by: NDArray[np.intp]

    @classmethod
    def on_nothing(cls, n: int) -> "Fitted":
        """Return that of a model without labels, such as a frozen backbone, for a corpus of ``n`` utterances."""
        return cls(np.zeros((0, n), dtype=np.bool_), np.zeros(n, dtype=np.intp))

    @classmethod
    def on_rows(cls, rows: NDArray[np.integer[Any]], n: int) -> "Fitted":
        """Return that of one model, fitted on ``rows`` of a corpus of ``n`` utterances."""
        learned = np.zeros((1, n), dtype=np.bool_)
        learned[0, rows] = True
        return cls(learned, np.zeros(n, dtype=np.intp))

    @classmethod
    def by_fold(cls, folds: Sequence[tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]], n: int) -> "Fitted":
        """Return that of a model for each pair of the rows that it was fitted on and those that it scores."""
        learned, scored_by = np.zeros((len(folds), n), dtype=np.bool_), np.zeros(n, dtype=np.intp)
        for fold, (train, held_out) in enumerate(folds):
            learned[fold, train] = True
            scored_by[held_out] = fold
        return cls(learned, scored_by)

    def joined(self, other: "Fitted") -> "Fitted":
        """Return what a model that stands on another has learned from: a head on its backbone."""
        if not len(self.learned) or not len(other.learned):
            return self if len(self.learned) else other
        pairs, scored_by = np.unique(np.stack([self.scored_by, other.scored_by]), axis=1, return_inverse=True)
        return Fitted(self.learned[pairs[0]] | other.learned[pairs[1]], scored_by.reshape(-1))

    def list_learned_through(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
        """Return the utterances that any of the models which score ``rows`` learned from, ascending ``(m,)``."""
        if not len(self.learned):
            return np.zeros(0, dtype=np.intp)
        return np.flatnonzero(self.learned[np.unique(self.scored_by[rows])].any(axis=0))

    def learned_from(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Return whether each of ``rows`` is scored by a model that learned from it, ``(len(rows),)``."""
        if not len(self.learned):
            return np.zeros(len(rows), dtype=np.bool_)
        found: NDArray[np.bool_] = self.learned[self.scored_by[rows], rows]
        return found

    def learned_from_group(self, rows: NDArray[np.integer[Any]], groups: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return whether each of ``rows`` is scored by a model that learned from any utterance of its group.

        Args:
            rows: indices into the corpus.
            groups: ``(n,)``: of every utterance of the corpus, such as its speaker; -1 where it is unknown.
        """
        found = np.zeros(len(rows), dtype=np.bool_)
        for model, learned in enumerate(self.learned):
            own = self.scored_by[rows] == model
            found[own] = np.isin(groups[rows[own]], groups[learned & (groups >= 0)])
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the value of the key ``fitted`` of ``run.json``; section 5 of FORMAT.md."""
        models = [_encode(np.packbits(learned, bitorder="little")) for learned in self.learned]
        stated: dict[str, Any] = {"n": len(self.scored_by), "models": models}
        return stated if len(models) < 2 else {**stated, "scored_by": _encode(self.scored_by.astype("<i4"))}


def parse_fitted(details: Mapping[str, Any], *, n: int, where: str) -> Fitted | None:
    """Parse what a run's record says that it was fitted on; None where it says nothing of it.

    Args:
        details: of the run.
        n: utterances of the corpus.
        where: what messages call the run.

    Raises:
        FormatError: if it is not what FORMAT.md says.
    """
    stated = details.get(KEY)
    if stated is None:
        return None
    try:
        if stated["n"] != n:
            raise ValueError(f"it is of {stated['n']} utterances")
        learned = np.array(
            [
                np.unpackbits(_decode(text, np.uint8, -(-n // 8)), count=n, bitorder="little")
                for text in stated["models"]
            ],
            dtype=np.bool_,
        ).reshape(-1, n)
        scored_by = np.zeros(n, dtype=np.intp)
        if len(learned) > 1:
            scored_by = _decode(stated["scored_by"], np.dtype("<i4"), n).astype(np.intp)
        if len(learned) and not 0 <= scored_by.min() <= scored_by.max() < len(learned):
            raise ValueError(f"there are {len(learned)} models")
    except (KeyError, TypeError, ValueError, binascii.Error) as problem:
        raise FormatError(
            f"{where}: key {KEY}: expected what FORMAT.md describes, of {n} utterances ({problem})"
        ) from (problem)
    return Fitted(learned, scored_by)


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
        known = [*(corpus.part_names(split) if corpus.splits else ()), "all", OTHERS, NOTHING]
        if trained_on not in known:
            raise UnknownNameError(describe_unknown("`trained_on`", str(trained_on), known))
        return Fitted.on_rows(corpus.rows(trained_on, split=split), len(corpus))
    folds = [name for name in corpus.part_names(split) if name.startswith("fold-")]
    if len(folds) < 2:
        raise CorpusError(
            f"trained on others, and split {split or corpus.default_split} has the parts "
            f"{', '.join(corpus.part_names(split))}: expected a split into folds; name another split"
        )
    scored = [corpus.rows(name, split=split) for name in folds]
    pairs = [
        (np.concatenate([rows for other, rows in enumerate(scored) if other != fold]), held_out)
        for fold, held_out in enumerate(scored)
    ]
    return Fitted.by_fold(pairs, len(corpus))


def _encode(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _decode(text: str, dtype: Any, count: int) -> NDArray[Any]:
    values = np.frombuffer(base64.b64decode(text, validate=True), dtype=dtype)
    if len(values) != count:
        raise ValueError(f"{len(values)} values, expected {count}")
    return values
