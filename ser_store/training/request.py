"""What is asked of a run: its name, its recipe and its data; of one that goes on, what it was begun with."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from ser_store.backbones.description import Init
from ser_store.common.log import report_precision
from ser_store.corpora.splits.train_eval_rows import TrainEvalRows, Valid, choose_train_eval_rows
from ser_store.errors import ExistsError, SerstoreError, StoreError
from ser_store.heads.inputs import find_speakers
from ser_store.recipes.recipe import Recipe
from ser_store.training.arguments import choose_precision
from ser_store.training.distributed.processes import is_main
from ser_store_h5.corpus import Corpus
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

# The fold that is evaluated; ``all`` for each of them in turn.
Fold = int | Literal["all"] | None
DEFAULT_INIT: Final = "pretrained"
_UNFINISHED = ("running", "interrupted", "failed")
NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_TOLD = 3


@dataclass(frozen=True)
class Request:
    """What decides a run.

    Attributes:
        model: key of the catalogue, hub id, or local folder, as it was asked for.
        run: the run's name.
        recipe: as it was asked for.
        split: the split's name; None for the corpus' default.
        fold: the fold that is evaluated; ``all`` for a run that is pooled over folds.
        init: ``pretrained`` or ``random``.
        checkpoint: a folder with pretrained weights, instead of the hub.
        valid: ``next`` where the next fold is a validation part.
    """

    model: str
    run: str
    recipe: Recipe
    split: str | None = None
    fold: Fold = None
    init: Init = DEFAULT_INIT
    checkpoint: str | None = None
    valid: Valid | None = None

    def to_json(self) -> dict[str, Any]:
        """What the run's record keeps of it, for :func:`read_request`."""
        stated = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "run"}
        if self.valid is None:
            del stated["valid"]
        if self.recipe.is_by_speaker:
            stated["normalise"] = "speaker"
        return {**stated, "recipe": self.recipe.to_json()}


def read_request(record: RunRecord) -> Request:
    """What a run was begun with.

    Raises:
        StoreError: if its record does not say, or says it in options of another release.
    """
    details = record.details
    try:
        return Request(
            model=str(details["model"]),
            run=record.run,
            recipe=Recipe.from_json(details["recipe"]),
            split=str(details["split"]),
            fold=details["fold"],
            init=details["init"],
            checkpoint=details["checkpoint"],
            valid=details.get("valid"),
        )
    except (KeyError, TypeError, AttributeError) as problem:
        raise StoreError(
            f"run {record.run} does not say how it was begun ({problem}): expected a run of `finetune()` of this "
            "release; train another with `run` NAME, or remove it with `rm()`"
        ) from problem


def find_request(
    store: Store,
    *,
    model: str | None = None,
    run: str | None = None,
    split: str | None = None,
    fold: Fold = None,
) -> Request | None:
    """What the run that is to be resumed was begun with; None where there is no such run yet.

    Raises:
        SerstoreError: if neither is given, and not exactly one run can be resumed.
    """
    run = name_run(store, model, run, resume=True, split=split, fold=fold)
    return read_request(store.run(run)) if store.has_run(run) else None


def name_run(
    store: Store, model: str | None, run: str | None, *, resume: bool, split: str | None = None, fold: Fold = None
) -> str:
    """The name of the run that is meant: the one given, else the model's, else the only one that can be resumed.

    Where the run of the model's name is of another split or fold, those are added to the name.

    Args:
        split: default: the corpus' default split, or any where a run is resumed.
        fold: default: any.

    Raises:
        SerstoreError: if neither is given, and not exactly one run can be resumed.
    """
    if run is not None:
        return run
    if model is not None:
        split = split or (None if resume else store.corpus.default_split)
        return _name_apart(store, name_after(model), split=split, fold=fold)
    unfinished = [record.run for record in map(store.run, store.runs()) if resume and _is_unfinished(record)]
    if len(unfinished) != 1:
        found = ", ".join(unfinished) or "none"
        raise SerstoreError(
            f"no `model` and no `run` is given, and the runs in {store.path} that can be resumed are: {found}; "
            "expected one of the two, or exactly one such run"
        )
    return unfinished[0]


def name_after(model: str) -> str:
    """The key of the catalogue, or the last part of a hub id or folder."""
    return Path(model).name.partition("@")[0]


def _name_apart(store: Store, plain: str, *, split: str | None, fold: Fold) -> str:
    """The name of the run of this split and fold, if there is one; else ``plain`` unless another's run has it."""
    named = f"-{NO_NAME.sub('-', split)}" if split else ""
    numbered = "" if fold is None else f"-fold-{fold}"
    asked = {"split": split, "fold": fold}
    for name in dict.fromkeys(plain + suffix for suffix in ("", numbered, named + numbered)):
        if store.has_run(name) and not _list_changes(store.run(name).details, asked):
            return name
    other = store.run(plain) if store.has_run(plain) else None
    if other is None or other.kind != "finetune":
        return plain
    return plain + ("" if other.details.get("split") == split else named) + numbered


def _list_changes(before: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The names of what is asked for otherwise than before; None asks for nothing."""
    return [name for name, value in asked.items() if value is not None and before.get(name) != value]


def _list_options(recipe: Recipe | None) -> dict[str, Any]:
    """What is asked for by a recipe: ``auto`` is whatever the run was begun with."""
    options = {} if recipe is None else dict(vars(recipe))
    return {name: value for name, value in options.items() if (name, value) != ("precision", "auto")}


def _is_unfinished(record: RunRecord) -> bool:
    return record.kind == "finetune" and record.state in _UNFINISHED and "diverged" not in record.details


def find_begun(
    store: Store, run: str, *, resume: bool, split: str | None, fold: Fold, recipe: Recipe | None
) -> RunRecord | None:
    """The record of the run that is to go on; None if it is to begin.

    Args:
        split: asked for, as are ``fold`` and ``recipe``: where they make another run of it, the message says so.

    Raises:
        ExistsError: if there is a run of this name, and it is not to be resumed.
        SerstoreError: if it cannot be resumed.
    """
    if not store.has_run(run):
        return None
    record = store.run(run)
    if not resume:
        asked = {"split": split or store.corpus.default_split, "fold": fold, **_list_options(recipe)}
        _refuse_taken(store, record, asked)
        store.refuse_run(run)
    _refuse_divergence(record)
    return record


def _refuse_taken(store: Store, record: RunRecord, asked: Mapping[str, Any]) -> None:
    """Say of a run whose name is taken what the one that is asked for has other, or how it goes on.

    Raises:
        ExistsError: if it is another, or unfinished.
    """
    try:
        begun = read_request(record)
    except SerstoreError:
        return  # of another kind or release: that its name is taken is said all the same
    before = {**vars(begun), **vars(begun.recipe)}
    changes = _list_changes(before, asked)
    if not changes and not _is_unfinished(record):
        return
    told = ", ".join(
        f"{name} {'none' if before[name] is None else before[name]}, now {asked[name]}" for name in changes[:_TOLD]
    )
    suffixes = [asked[name] if name == "split" else f"{name}-{asked[name]}" for name in changes]
    is_named = {*changes} <= {"split", "fold", "seed"} and changes
    name = NO_NAME.sub("-", "-".join([record.run, *suffixes])) if is_named else "NAME"
    raise ExistsError(
        f"run {record.run} is in {store.path} already"
        + (f" and is {record.state}" if _is_unfinished(record) else "")
        + (f", as another one ({told}): " if told else ": ")
        + ("go on with `resume`, " if _is_unfinished(record) else "")
        + f"name this one with `run` {name}, or remove the old one with `rm()`"
    )


def settle_request(begun: RunRecord | None, run: str, asked: Mapping[str, Any]) -> Request:
    """What decides the run: what is asked for, or what it was begun with if nothing asked for contradicts that.

    Raises:
        SerstoreError: if something does, or no model is named.
    """
    stated = {name: value for name, value in asked.items() if value is not None}
    for name in {"model", "checkpoint"} & stated.keys():
        place = Path(stated[name])
        # A folder is the same wherever the command is called from.
        stated[name] = str(place.resolve() if place.is_dir() else stated[name])
    if begun is not None:
        request = read_request(begun)
        refuse_contradictions(request, stated)
        return request
    if "recipe" in stated and stated["recipe"].precision == "auto":
        stated["recipe"] = stated["recipe"].changed(precision=choose_precision())
        if is_main():
            report_precision(run, stated["recipe"].precision)
    if "model" not in stated:
        raise SerstoreError(f"no `model` is given, and there is no run {run} to go on with: expected one of them")
    return Request(run=run, **{"recipe": Recipe(), **stated})


def choose_request_rows(corpus: Corpus, request: Request) -> TrainEvalRows:
    """The rows of the corpus that are trained on and evaluated.

    Raises:
        CorpusError: if the split has no such parts, or speakers are asked for and none are known.
        SerstoreError: if the request is that of a run which is pooled over folds.
    """
    if request.fold == "all":
        raise SerstoreError(f"run {request.run} is pooled over folds: expected `fold` all to go on with it")
    rows = choose_train_eval_rows(corpus, split=request.split, fold=request.fold, valid=request.valid)
    if request.recipe.is_by_speaker:
        find_speakers(corpus, rows.train)
    return rows


def refuse_contradictions(begun: Request, asked: Mapping[str, Any]) -> None:
    """Compare a resumed run's request with what is asked for now, by name; what is not asked for is not compared.

    Raises:
        SerstoreError: naming the first that differs.
    """
    before = {**vars(begun), **vars(begun.recipe)}
    now = {name: value for name, value in asked.items() if name != "recipe"}
    if now.get("init") == DEFAULT_INIT:
        del now["init"]
    for name, value in {**now, **_list_options(asked.get("recipe"))}.items():
        if before[name] != value:
            raise SerstoreError(
                f"run {begun.run} was begun with `{name}` {before[name]}: got {value}; a run is resumed as it was "
                f"begun, so leave `{name}` out, or train another with `run` NAME"
            )


def _refuse_divergence(record: RunRecord) -> None:
    """A diverged run would only diverge once more.

    Raises:
        SerstoreError: if the run has diverged.
    """
    diverged = record.details.get("diverged")
    if diverged:
        raise SerstoreError(
            f"run {record.run} diverged at step {diverged['step']} ({diverged['reason']}): expected one that was "
            "interrupted; try another recipe with another `run` NAME, or remove it with `rm()`"
        )
