"""The fits of a sweep, over several processes: cells in, what their heads say out, as they are done."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from ser_store.heads.sweep_cells import Cell
from ser_store.heads.sweep_table import Outcome
from ser_store.heads.trials import Examples, Input, Places
from ser_store.heads.tuning import FittedFold, Fold, fit_fold

# What takes longest is begun first, so that no core waits for it at the end.
_SLOWEST = ("boosting", "forest", "mlp", "extra-trees", "svm", "linear-svm", "logreg")


def digest_examples(examples: Examples) -> str:
    """Return the SHA-256 (hex) of representations, labels and speakers."""
    digest = hashlib.sha256()
    speakers = np.empty(0, dtype=np.str_) if examples.speakers is None else examples.speakers
    for array in (*examples.features.values(), examples.labels, speakers):
        digest.update(f"{array.dtype.str} {array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def choose_input(examples: Examples, one: Input) -> Examples:
    """Return the same utterances with one input alone."""
    return replace(examples, features={one: examples.features[one]})


def list_fits(number: int, cell: Cell, examples: Examples, places: Sequence[tuple[Places, Places]]) -> list[Fold]:
    """Return what is fitted for a cell, with its amount of the training utterances drawn.

    Args:
        number: of the cell.
        examples: all utterances, with the cell's input alone.
        places: of each fold, those to fit on and those to score.
    """
    seed = cell.protocol.seed
    return [
        Fold(
            cell=number,
            number=fold,
            n_folds=len(places),
            trials=cell.request.heads[0],
            examples=examples,
            train=cell.amount.draw(examples.labels, train, seed=[seed, cell.repeat]),
            scored=scored,
            seed=seed,
        )
        for fold, (train, scored) in enumerate(places)
    ]


def fit_cells(folds: Sequence[Fold], *, workers: int | None) -> Iterator[tuple[int, Outcome | str]]:
    """Yield the number of each cell with what its heads say, or why they could not be fitted, as they are done.

    Args:
        folds: of all cells.
        workers: processes; None for one on each core.
    """
    parts: dict[int, list[FittedFold]] = {}
    n_folds = {one.cell: one.n_folds for one in folds}
    for fitted in _map(sorted(folds, key=_rank), workers or os.cpu_count() or 1):
        own = parts.setdefault(fitted.cell, [])
        own.append(fitted)
        if len(own) == n_folds[fitted.cell]:
            yield fitted.cell, _join(sorted(parts.pop(fitted.cell), key=lambda one: one.number))


def _rank(fold: Fold) -> tuple[int, int]:
    """The slowest kinds, and the largest inputs of each, come first."""
    trial = fold.trials[0]
    slow = _SLOWEST.index(trial.kind) if trial.kind in _SLOWEST else len(_SLOWEST)
    return slow, -fold.examples.features[trial.input].shape[1]


def _join(parts: Sequence[FittedFold]) -> Outcome | str:
    problem = next((one.problem for one in parts if one.problem), "")
    if problem:
        return problem
    predicted = np.concatenate([one.predicted for one in parts if one.predicted is not None])
    return Outcome(predicted, max(one.n_train for one in parts), sum(one.seconds for one in parts))


def _map(folds: Sequence[Fold], workers: int) -> Iterator[FittedFold]:
    """Fit in processes of their own, each with one thread; in this one where one is enough."""
    if min(workers, len(folds)) < 2:
        yield from map(fit_fold, folds)
        return
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", inner_max_num_threads=1):
        done: Any = Parallel(n_jobs=workers, return_as="generator_unordered")(delayed(fit_fold)(fold) for fold in folds)
    with closing(done):
        yield from done
