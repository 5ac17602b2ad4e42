"""The fits of a sweep, over several processes: cells in, what their heads say out, as they are done."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import SerstoreError
from ser_store.heads.inputs import Input
from ser_store.heads.sweep_cells import Cell
from ser_store.heads.sweep_table import Outcome
from ser_store.heads.trials import Examples, Places, Trial, fit_and_score
from ser_store.heads.tuning import choose_heads
from ser_store_h5.progress import silent

# What takes longest is begun first, so that no core waits for it at the end.
_SLOWEST = ("boosting", "forest", "mlp", "extra-trees", "svm", "linear-svm", "logreg")


@dataclass(frozen=True, eq=False)
class Fold:
    """What is fitted for one cell on one fold.

    Attributes:
        cell: its number.
        number: of the fold, from 0 on.
        n_folds: that the cell has.
        trials: the way to make the head, or several to choose from.
        examples: all utterances, with the cell's input alone.
        train: places of those that are fitted on.
        scored: places of those that are scored.
        seed: what tuning draws by.
    """

    cell: int
    number: int
    n_folds: int
    trials: Sequence[Trial]
    examples: Examples
    train: Places
    scored: Places
    seed: int


@dataclass(frozen=True, eq=False)
class _Fitted:
    cell: int
    number: int
    n_train: int
    seconds: float
    predicted: NDArray[np.int16] | None
    problem: str = ""


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
    parts: dict[int, list[_Fitted]] = {}
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


def _join(parts: Sequence[_Fitted]) -> Outcome | str:
    problem = next((one.problem for one in parts if one.problem), "")
    if problem:
        return problem
    predicted = np.concatenate([one.predicted for one in parts if one.predicted is not None])
    return Outcome(predicted, max(one.n_train for one in parts), sum(one.seconds for one in parts))


def _map(folds: Sequence[Fold], workers: int) -> Iterator[_Fitted]:
    """Fit in processes of their own, each with one thread; in this one where one is enough."""
    if min(workers, len(folds)) < 2:
        yield from map(_fit, folds)
        return
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", inner_max_num_threads=1):
        done: Any = Parallel(n_jobs=workers, return_as="generator_unordered")(delayed(_fit)(fold) for fold in folds)
    with closing(done):
        yield from done


def _fit(fold: Fold) -> _Fitted:
    start, predicted, problem = time.process_time(), None, ""
    place = (fold.train, fold.scored)
    options: dict[str, Any] = {"is_pool": False, "seed": fold.seed, "show": silent, "label": ""}
    try:
        [[chosen]] = choose_heads([fold.trials], fold.examples, [place], **options)
        said, what = fit_and_score(chosen.trial, fold.examples, *place)
        predicted = said if what == "predicted" else said.argmax(axis=1).astype(np.int16)
    except SerstoreError as refused:
        problem = str(refused)
    return _Fitted(fold.cell, fold.number, len(fold.train), time.process_time() - start, predicted, problem)
