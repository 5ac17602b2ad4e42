"""Each fold of a split in turn: the runs of its folds, trained or found, and what is pooled of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ser_store.common.log import report_name
from ser_store.corpora.splits.train_eval_rows import list_folds
from ser_store.errors import ExistsError, SerstoreError, StoreError
from ser_store.evaluation.folds import KIND, pool_folds
from ser_store.evaluation.steps import steps as select_steps
from ser_store.inference.out_of_memory import free_memory
from ser_store.training.distributed.lock import is_training
from ser_store.training.distributed.processes import count_processes, is_main, stated_once, wait_for_all
from ser_store.training.request import NO_NAME, Request, name_after, name_run, read_request, settle_request
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

# How the step of each fold is chosen on its validation part.
_RULE = "best"


def train_folds(
    store: Store,
    run: str | None,
    asked: Mapping[str, Any],
    *,
    resume: bool,
    progress: ProgressLike,
    train: Callable[[str, Mapping[str, Any]], RunRecord],
) -> RunRecord:
    """Train the folds that are not trained yet, and pool them in the run that is returned.

    Args:
        store: gains the runs.
        run: of the pooled one.
        asked: what decides it, as :func:`.request.settle_request` takes it.
        resume: go on with what is there.
        progress: over the folds.
        train: trains a run of this name by what decides it, or goes on with it.

    Raises:
        ExistsError: if some of it is there and is not to be gone on with.
        StoreError: if other processes train the rest.
    """
    with stated_once():
        asked = {**asked, "split": asked["split"] or store.corpus.default_split}
        folds = list_folds(store.corpus, asked["split"])
        name = name_run(store, asked["model"], run, resume=resume, split=asked["split"], fold="all")
        there = _find_pooled(store, name, resume=resume)
        if there is not None and there.state == "finished":
            settle_request(there, name, asked)
            return there
        # What the folds are called does not depend on what else is in the store.
        stem = run or (name if asked["model"] is None else name_after(asked["model"]))
        planned = {fold: _name_fold(stem, asked["split"], fold) for fold in folds}
        request = _settle(store, name, planned, asked)
        runs = {fold: _find_run(store, request, fold, planned[fold]) for fold in folds}
        if not resume:
            refuse_begun(store, f"the folds of {name}", runs)
    decided = {**vars(request), "recipe": request.recipe}
    del decided["run"]
    for fold, one in to_progress(progress)(list(runs.items()), total=len(runs), label=f"folds of {name}"):
        train_unless_busy(store, one, partial(train, one, {**decided, "fold": fold}))
    refuse_unfinished(store, f"{name} is not pooled yet", runs)
    if is_main():
        if run is None:
            report_name(name, name_after(request.model))
        _pool(store, replace(request, run=name), runs)
    wait_for_all()
    return store.run(name)


def _find_pooled(store: Store, name: str, *, resume: bool) -> RunRecord | None:
    if not store.has_run(name):
        return None
    there = store.run(name)
    if there.kind != KIND or not resume:
        store.refuse_run(name)
    return there


def _settle(store: Store, name: str, planned: Mapping[int, str], asked: Mapping[str, Any]) -> Request:
    """What all folds have in common: what is asked for, and for the rest what one that was begun has."""
    begun = next((store.run(one) for one in planned.values() if store.has_run(one)), None)
    return replace(settle_request(begun, name, {**asked, "fold": None}), fold="all", split=asked["split"], run=name)


def _name_fold(name: str, split: str, fold: int) -> str:
    named = NO_NAME.sub("-", split)
    return f"{name if name.endswith(f'-{named}') else f'{name}-{named}'}-fold-{fold}"


def _find_run(store: Store, request: Request, fold: int, planned: str) -> str:
    """The run of the fold: the one that bears its name, else one that was begun with the same, else a new one."""
    if store.has_run(planned):
        return planned
    for record in map(store.run, store.runs()):
        if record.kind == "finetune" and record.details.get("fold") == fold:
            try:
                begun = read_request(record)
            except SerstoreError:
                continue  # of another release
            if replace(begun, run=request.run, fold="all") == request:
                return record.run
    return planned


def refuse_begun(store: Store, what: str, runs: Mapping[int, str]) -> None:
    """Refuse to begin what is there already, if only in part.

    Raises:
        ExistsError: naming the runs that are.
    """
    begun = [one for one in runs.values() if store.has_run(one)]
    if begun:
        raise ExistsError(
            f"of {what}, {', '.join(begun[:3])}{' …' if len(begun) > 3 else ''} are in {store.path} already: go on "
            "with `resume`, which leaves finished ones alone, or name others with `run`"
        )


def train_unless_busy(store: Store, run: str, train: Callable[[], RunRecord]) -> None:
    """Train a run, or the runs that are named after it, to the end, unless another process is about it."""
    is_alone = count_processes() == 1
    if is_alone and is_training(store.run_folder(run)):
        return
    try:
        train()
    except (StoreError, ExistsError):
        # Somebody else may have begun it while the model was loaded.
        own = [one for one in store.runs() if one == run or one.startswith(f"{run}-")]
        if not (is_alone and any(is_training(store.run_folder(one)) for one in own)):
            raise
    finally:
        free_memory()


def refuse_unfinished(store: Store, what: str, runs: Mapping[int, str]) -> None:
    """Refuse to go on where other processes are about some of the runs.

    Raises:
        StoreError: naming these.
    """
    left = [run for run in runs.values() if not store.has_run(run) or store.run(run).state != "finished"]
    if left:
        raise StoreError(
            f"{what}: other processes train {', '.join(left)}; call this again with `resume` when they have ended"
        )


def _pool(store: Store, request: Request, runs: Mapping[int, str]) -> None:
    records = [store.run(run) for run in runs.values()]
    details = {
        **request.to_json(),
        "on": "all",
        "seconds": round(sum(float(record.details["seconds"]) for record in records), 3),
        "steps_done": max(int(record.details["steps_done"]) for record in records),
    }
    if store.has_run(request.run):  # killed while it was pooled
        store.remove(request.run)
    pool_folds(store, RunRecord(request.run, KIND, records[0].backbone, details=details), runs)
    if request.valid is not None:
        select_steps(store, request.run, split=request.split, select=_RULE)
