"""What a run begins from and whom it is trained on, where the command line leaves that to another run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ser_store.corpora.splits.train_eval_rows import Valid
    from ser_store.recipes.recipe import Recipe
    from ser_store.training.request import Fold, Request
    from ser_store_h5.store import Store


@dataclass(frozen=True)
class Origin:
    """What the options of the same names say; None for what they leave open."""

    model: str | None
    init: str
    checkpoint: Path | None
    split: str | None
    fold: "Fold"
    valid: "Valid | None" = None


def find_like(
    asked: Origin, store: Path, *, recipe: str | None, run: str | None, resume: bool, with_weights: bool
) -> Origin:
    """What is asked for, and for the rest what the run has that is named as ``recipe``, if it is a run of the store.

    With ``with_weights`` the weights are that run's unless a model or other weights are named, and in any case the
    split and the fold unless either is. A run that goes on keeps its own.
    """
    from ser_store_h5.store import Store

    if recipe is None or Path(recipe).exists() or not Store(store).has_run(recipe):
        return asked
    opened = Store(store)
    if resume and (run is None or opened.has_run(run)):
        return asked
    from ser_store.training.checkpointing.resume import read_source

    like = Origin(**read_source(opened.run(recipe)))
    if asked.split is None and asked.fold is None:
        asked = replace(asked, split=like.split, fold=like.fold, valid=like.valid)
    if with_weights and asked.model is None and asked.checkpoint is None and asked.init == "pretrained":
        asked = replace(asked, model=like.model, init=like.init, checkpoint=like.checkpoint)
    return asked


def read_begun(begun: "Request") -> Origin:
    """What a run that is to go on was begun with."""
    checkpoint = None if begun.checkpoint is None else Path(begun.checkpoint)
    return Origin(begun.model, begun.init, checkpoint, begun.split, begun.fold, begun.valid)


def refuse_begun(
    store: "Store", asked: Origin, model: str, *, run: str | None, resume: bool, recipe: "Recipe | None"
) -> None:
    """Before a dry run, what the run itself would be refused for.

    Raises:
        ExistsError: if there is such a run, and it is not to be resumed.
        SerstoreError: if the run cannot be resumed, or its name breaks the rules.
    """
    from ser_store.training.request import find_begun, name_run
    from ser_store_h5.names import check_run_name

    name = name_run(store, model, run, resume=resume, split=asked.split, fold=asked.fold)
    check_run_name(name)
    find_begun(store, name, resume=resume, split=asked.split, fold=asked.fold, recipe=recipe)
