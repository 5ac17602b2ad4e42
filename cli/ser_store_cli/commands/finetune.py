"""finetune."""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.origin_choice import Origin, find_like, read_begun, refuse_begun
from ser_store_cli.output import show_reports
from ser_store_cli.recipe_choice import print_recipe_text, resolve_recipe
from ser_store_cli.recipe_options import shorten, with_recipe_options
from ser_store_cli.training import print_dry_run, train_all, train_one, train_seeds

if TYPE_CHECKING:
    from ser_store.training.request import Fold, Request
    from ser_store_h5.store import Store


@command(context_settings={"token_normalize_func": shorten})
@with_recipe_options
def finetune(
    context: typer.Context,
    model: option.Model = None,
    all_models: Annotated[
        bool,
        typer.Option(
            "--all", help="Train the six models of the paper, one after the other; finished ones are skipped."
        ),
    ] = False,
    run: option.Run = None,
    split: option.Split = None,
    fold: Annotated[
        str | None,
        typer.Option(
            "--fold",
            help="The fold to evaluate on, where the split consists of folds; all for each in turn, and then one run "
            "in which every utterance is answered by the model that has not met its fold.",
        ),
    ] = None,
    valid: Annotated[
        str | None,
        typer.Option(
            "--valid",
            help="next: the fold after it is a validation part, not trained on, by which --fold all selects steps.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", help="Train with the seeds 1 to N, in a run each, and say how far they differ."),
    ] = None,
    init: option.Init = "pretrained",
    checkpoint: option.Checkpoint = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option("--checkpoints", help="The folder for checkpoints.", show_default="in the run's folder"),
    ] = None,
    audio: option.Audio = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue a run that was interrupted, with the settings it was started with."),
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Take the settings from a TOML file, or from a run (weights and split too). Options override them.",
        ),
    ] = None,
    print_recipe: Annotated[bool, typer.Option("--print-recipe", help="Only print all settings as TOML.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only measure a few steps, and report the memory, disk and time that all take."),
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            "--push-to-hub", help="Upload the model to OWNER/NAME on the Hugging Face hub, as a private repository."
        ),
    ] = None,
    store: option.Store = option.HERE,
    json: bool = False,
    **_: Any,
) -> None:
    """Fine-tune a backbone and cache its answers at every evaluation. Defaults: the paper's settings."""
    number = _read_fold(fold)
    asked = {name: value for name, value in {**context.params, "fold": number}.items() if value is not None}
    resolved = resolve_recipe(asked, recipe=recipe, store=store, resume=resume)
    begun = (
        _find_begun(store, model=model, run=run, split=split, fold=number)
        if resume and not all_models and (print_recipe or dry_run)
        else None
    )
    if print_recipe:
        print_recipe_text(resolved if begun is None else resolved or begun.recipe, json=json)
        return
    origin = Origin(model, init, checkpoint, split, number, cast(Any, valid))  # the library says whether it is known
    if begun is not None:
        origin, resolved = read_begun(begun), resolved or begun.recipe
    else:
        origin = find_like(origin, store, recipe=recipe, run=run, resume=resume, with_weights=not all_models)
    model, checkpoint = origin.model, origin.checkpoint
    if (model is not None) + all_models > 1:
        raise typer.BadParameter("expected one of --model and --all")
    if model is None and not (all_models or resume):
        raise typer.BadParameter("expected --model MODEL, or --all for the paper's six", param_hint="--model")
    if all_models and (run or checkpoint or checkpoints or push_to_hub):
        raise typer.BadParameter(
            "--all trains several models: --run, --checkpoint, --checkpoints, --push-to-hub do not fit"
        )
    over_folds = origin.fold == "all"
    if over_folds and (all_models or push_to_hub):
        raise typer.BadParameter("all trains several models: --all, --push-to-hub take one fold", param_hint="--fold")
    if seeds is not None and (all_models or push_to_hub or "seed" in asked):
        raise typer.BadParameter(
            "several models are trained: --all, --push-to-hub, --seed take one seed", param_hint="--seeds"
        )
    opened = _open(store)
    places: dict[str, Any] = {"split": origin.split, "fold": origin.fold, "init": origin.init, "audio": audio}
    weights: dict[str, Any] = {"checkpoint": checkpoint, "checkpoints": checkpoints, "valid": origin.valid}
    if dry_run:
        if model is not None:
            refuse_begun(opened, origin, model, run=run, resume=resume, recipe=resolved)
        print_dry_run(opened, model, resolved, {**places, **weights, "seeds": seeds or 1}, json=json)
        return
    show_reports()
    if all_models:
        train_all(opened, resolved, places, json=json)
        return
    request: dict[str, Any] = {"run": run, "recipe": resolved, "resume": resume, **places, **weights}
    if seeds is not None:
        train_seeds(opened, model, seeds, request, json=json)
        return
    train_one(opened, model, request, push_to_hub=push_to_hub, json=json)


def _read_fold(given: str | None) -> "Fold":
    if given is None:
        return None
    if given == "all":
        return "all"
    if not given.isdecimal():
        raise typer.BadParameter(f"{given!r} is neither a number nor all", param_hint="--fold")
    return int(given)


def _open(store: Path) -> "Store":
    from ser_store.errors import require
    from ser_store_h5.store import Store

    opened = Store(store)
    require("torch")
    require("transformers")
    if "WANDB_MODE" in os.environ:
        with redirect_stdout(sys.stderr):  # transformers repeats it on stdout, which belongs to the result
            require("transformers.integrations.integration_utils")
    return opened


def _find_begun(store: Path, **asked: Any) -> "Request | None":
    from ser_store.training.request import find_request
    from ser_store_h5.store import Store

    return find_request(Store(store), **asked)
