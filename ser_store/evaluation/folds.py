"""Runs of single folds, and what they make together: figures fold by fold, and one run that answers every utterance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Block, Percent, Table
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.errors import StoreError, list_some
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.member import Member
from ser_store_h5.names import PLUS, format_member, parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

KIND = "folds"
_SELECTED = "-selected"
_FIGURES = ("train_loss", "learning_rate", "eval_loss", "accuracy", "balanced_accuracy")


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


def pool_folds(store: Store, record: RunRecord, runs: Mapping[int, str]) -> None:
    """Write the run ``record``: a member at each step that all folds have, and the mean of their curves.

    Args:
        store: gains the run.
        record: says the ``split`` that consists of the folds.
        runs: the run of each fold by its number; each has been trained on none of its fold's utterances.

    Raises:
        StoreError: if the folds have no step in common.
    """
    steps = sorted(set.intersection(*(set(store.steps(run)) for run in runs.values())))
    if not steps:
        raise StoreError(
            f"the folds of {record.run} have no step in common: expected one at which all were evaluated; "
            "train them by one recipe"
        )
    _begin(store, record, runs)
    for point in _average_curves([store.curves(run) for run in runs.values()]):
        store.append_curve(record.run, **point)
    for step in steps:
        _write_member(store, record, step, {fold: format_member(run, step) for fold, run in runs.items()})
    store.update_run(store.run(record.run).updated(state="finished", evaluations=len(steps)))


def list_fold_runs(record: RunRecord) -> dict[int, str]:
    """Return the run of each fold that a run was pooled of, by the fold's number; none for other runs."""
    return {int(fold): run for fold, run in record.details.get("runs", {}).items()} if record.kind == KIND else {}


def name_selected(run: str) -> str:
    """Return the name of the run that holds the member of the steps selected in each fold."""
    return run + _SELECTED


def pool_selected(store: Store, record: RunRecord) -> str:
    """Write the member of the steps that are selected in each fold, in place of an earlier one; returns its name.

    It is the only one of a run of its own, ``NAME-selected``, at step 0, since the steps of the folds differ.
    """
    runs = list_fold_runs(record)
    steps = {fold: store.selected_step(run) for fold, run in runs.items()}
    name = name_selected(record.run)
    if store.has_run(name):
        if store.run(name).details.get("runs") != record.details["runs"]:
            store.refuse_run(name)
        store.remove(name)
    own = {key: value for key, value in record.details.items() if key not in ("evaluations", "steps_done")}
    chosen = RunRecord(name, KIND, record.backbone, details={**own, "steps": {str(key): steps[key] for key in steps}})
    _begin(store, chosen, runs)
    _write_member(store, chosen, 0, {fold: format_member(run, steps[fold]) for fold, run in runs.items()})
    store.update_run(store.run(name).updated(state="finished"))
    return format_member(name, 0)


def _begin(store: Store, record: RunRecord, runs: Mapping[int, str]) -> None:
    details: dict[str, Any] = {"runs": {str(fold): run for fold, run in runs.items()}}
    fitted = [find_fitted(store, run) for run in runs.values()]
    if all(one is not None for one in fitted):
        scored_by = np.zeros(len(store.corpus), dtype=np.intp)
        for place, fold in enumerate(runs):
            scored_by[_list_rows(store, record, fold)] = place
        learned = np.stack([one.learned.any(axis=0) for one in fitted if one is not None])
        details[KEY] = Fitted(learned, scored_by).to_json()
    store.add_run(RunRecord(record.run, KIND, record.backbone, state="running", details={**record.details, **details}))


def _list_rows(store: Store, record: RunRecord, fold: int) -> NDArray[np.int32]:
    return store.corpus.rows(f"fold-{fold}", split=record.details["split"])


def _write_member(store: Store, record: RunRecord, step: int, members: Mapping[int, str]) -> None:
    """Write the member ``step``, of each fold what its own member says of it."""
    n, classes = len(store.corpus), len(store.corpus.classes)
    logits, covered = np.empty((n, classes), dtype=np.float32), np.zeros(n, dtype=np.bool_)
    for fold, member in members.items():
        rows = _list_rows(store, record, fold)
        logits[rows], covered[rows] = store.logits([member], rows)[0], True
    provenance = {"source": "pooled over folds", "members": {str(fold): one for fold, one in members.items()}}
    rows = np.flatnonzero(covered).astype(np.int32)
    store.write_member(Member(record.run, step, rows, logits[rows], provenance=provenance))


def _average_curves(curves: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return a point for each that all folds have, with the means of their figures where all have one."""
    by_fold = [{(point["step"], "train_loss" in point): point for point in points} for points in curves]
    common = [key for key in by_fold[0] if all(key in own for own in by_fold)]
    means = []
    for key in common:
        points = [own[key] for own in by_fold]
        figures = {name: [point[name] for point in points if point.get(name) is not None] for name in _FIGURES}
        known = {name: fmean(all_of) for name, all_of in figures.items() if len(all_of) == len(points)}
        means.append({"step": key[0], **known, "folds": len(points)})
    return means
