"""The accuracy of each fold, where every fold is scored by a model of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Block, Percent, Table
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.errors import StoreError, list_some
from ser_store_h5.names import PLUS, parse_member
from ser_store_h5.store import Store


@dataclass(frozen=True)
class FoldAccuracy:
    """One fold.

    Attributes:
        fold: its name, such as ``fold-1``.
        n: utterances.
        correct: of these.
    """

    fold: str
    n: int
    correct: int

    @property
    def accuracy(self) -> float:
        """The share of correct answers, in 0..1."""
        return self.correct / self.n


@dataclass(frozen=True)
class FoldFigures:
    """The accuracies of a member's folds, two or more.

    Attributes:
        folds: in their order.
    """

    folds: tuple[FoldAccuracy, ...]

    @property
    def mean(self) -> float:
        """The mean of the folds' accuracies, each counted once whatever its size."""
        return fmean(one.accuracy for one in self.folds)

    @property
    def std(self) -> float:
        """Their standard deviation, with n - 1 in the denominator."""
        return stdev(one.accuracy for one in self.folds)

    def __str__(self) -> str:
        return f"{self.mean:.2%} ± {self.std * 100:.2f}"

    def to_json(self) -> dict[str, Any]:
        """Return the keys that ``serstore evaluate --json`` has for a member of folds."""
        folds = [{**vars(one), "accuracy": one.accuracy} for one in self.folds]
        return {"folds": folds, "mean": self.mean, "std": self.std}

    def describe(self) -> Iterator[Block]:
        """Yield a table with a row for each fold, and their mean."""
        rows = [[one.fold, one.n, one.correct, Percent(one.accuracy)] for one in self.folds]
        yield Table(["fold", "n", "correct", "accuracy"], rows)
        yield f"mean ± standard deviation over {len(self.folds)} folds: {self}"


def _find_folds(store: Store, run: str, rows: NDArray[np.int32]) -> NDArray[np.str_] | None:
    """Return the name of the fold that each of ``rows`` is in, ``(m,)``; None unless several models share them.

    The folds are those of the split that the run's record names, or else numbered from 1: ``fold-1``.
    """
    fitted = find_fitted(store, run)
    if fitted is None or len(fitted.learned) < 2:
        return None
    models, places = np.unique(fitted.scored_by[rows], return_inverse=True)
    if len(models) < 2:
        return None
    record, corpus = store.run(run), store.corpus
    for split in (record.details.get("cv"), record.details.get("split")):
        if split in corpus.splits:
            parts = corpus.parts(split)[rows]
            if len(set(zip(parts.tolist(), places.tolist(), strict=True))) == len(set(parts.tolist())) == len(models):
                return parts
    names: NDArray[np.str_] = np.array([f"fold-{model + 1}" for model in models])[places]
    return names


def find_fold_figures(store: Store, name: str, rows: NDArray[np.int32], right: NDArray[np.bool_]) -> FoldFigures | None:
    """Return the accuracy of each fold of a member; None where it has none on ``rows``, as ensembles have.

    Args:
        store: the store.
        name: the member's.
        rows: ``(n,)`` indices of the utterances.
        right: ``(n,)``: whether the answer is correct.
    """
    folds = None if PLUS in name else _find_folds(store, parse_member(name)[0], rows)
    if folds is None:
        return None
    names = sorted(set(folds.tolist()), key=lambda fold: (len(fold), fold))
    return FoldFigures(
        tuple(FoldAccuracy(fold, int((folds == fold).sum()), int(right[folds == fold].sum())) for fold in names)
    )


def refuse_single_folds(store: Store, names: Sequence[str], rows: NDArray[np.int32]) -> None:
    """Refuse members, alone or in ensembles, that score one fold of a split and so not all of ``rows``.

    Raises:
        StoreError: naming what makes one member of all folds.
    """
    members = dict.fromkeys(member for name in names for member in name.split(PLUS))
    details = {name: store.run(parse_member(name)[0]).details for name in members}
    single = [name for name, own in details.items() if isinstance(own.get("fold"), int)]
    by_split: dict[str, dict[int, str]] = {}
    for name, n in zip(single, store.count_covered(single, rows), strict=True):
        if n < len(rows):
            by_split.setdefault(str(details[name].get("split")), {})[details[name]["fold"]] = name
    for split, folds in by_split.items():
        [*others, fold] = sorted(folds)
        alone = "" if others else f"; fold {fold} alone is `on` fold-{fold}"
        raise StoreError(
            f"{list_some(list(folds.values()))} {'each score one fold' if others else f'scores fold {fold}'} of split "
            f"{split}: expected a member that scores all; of heads `head()` with `cv` {split} makes it, of fine-tuned "
            f"runs `finetune()` with `fold` all, which takes the folds that are there{alone}"
        )
