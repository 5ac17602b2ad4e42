"""Which recipe a command line means."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ser_store_cli.output import print_json, warn

if TYPE_CHECKING:
    from ser_store.recipes.recipe import Recipe


# What an option needs, to be of any effect: the one that it belongs to, and what that must not be.
_BELONGS = {
    "crop": ("max_seconds", None),
    "early_stopping_metric": ("early_stopping_patience", None),
    "mask_time_length": ("mask_time_prob", 0),
    "mask_feature_length": ("mask_feature_prob", 0),
    "speed_range": ("speed_prob", 0),
    "reverb_seconds": ("reverb_prob", 0),
    "noise_db": ("noise_prob", 0),
    "gain_db": ("gain_prob", 0),
}


def resolve_recipe(asked: Mapping[str, Any], *, recipe: str | None, store: Path, resume: bool) -> "Recipe | None":
    """The file's recipe, or the published one, with what the command line says; None where a run's own goes on."""
    from dataclasses import fields

    from ser_store.recipes.augmentation import Augmentation
    from ser_store.recipes.class_weights import parse_class_weights
    from ser_store.recipes.masking import Masking
    from ser_store.recipes.recipe import Recipe

    names = {entry.name for kind in (Recipe, Masking, Augmentation) for entry in fields(kind)}
    options = {name: value for name, value in asked.items() if name in names}
    if "class_weights" in options:
        options["class_weights"] = parse_class_weights(options["class_weights"])
    if options.get("micro_batch", "").isdecimal():
        options["micro_batch"] = int(options["micro_batch"])
    if recipe is not None:
        from ser_store.recipes.recipe_file import find_recipe

        return _warn_of_idle(options, find_recipe(recipe, store=store).changed(**options))
    if not resume:
        return _warn_of_idle(options, Recipe().changed(**options))
    if not options:
        return None
    from ser_store.training.request import find_request
    from ser_store_h5.store import Store

    begun = find_request(Store(store), **{name: asked.get(name) for name in ("model", "run", "split", "fold")})
    return (Recipe() if begun is None else begun.recipe).changed(**options)


def _warn_of_idle(options: Mapping[str, Any], resolved: "Recipe") -> "Recipe":
    """Name the options on the command line that change nothing, once for all processes; returns the recipe."""
    if os.environ.get("RANK", "0") != "0":
        return resolved
    values = {**vars(resolved), **vars(resolved.masking), **vars(resolved.augmentation)}
    for name, (needed, idle) in _BELONGS.items():
        if name in options and values[needed] == idle:
            warn(f"`{name}` is of no effect without `{needed}`")
    if "num_train_epochs" in options and resolved.max_steps is not None:
        warn(f"`num_train_epochs` is of no effect beside `max_steps` {resolved.max_steps}")
    if "per_device_train_batch_size" in options and resolved.batch_seconds is not None:
        warn(f"`per_device_train_batch_size` is of no effect beside `batch_seconds` {resolved.batch_seconds:g}")
    return resolved


def print_recipe_text(resolved: "Recipe | None", *, json: bool) -> None:
    """As TOML, or as a JSON document."""
    from ser_store.recipes.recipe import Recipe
    from ser_store.recipes.recipe_file import format_recipe

    resolved = resolved or Recipe()
    if json:
        print_json(resolved.to_json())
    else:
        typer.echo(format_recipe(resolved), nl=False)
