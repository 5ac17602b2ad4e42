"""Which recipe a command line means."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ser_store_cli.output import print_json

if TYPE_CHECKING:
    from ser_store.training.recipe import Recipe


def resolve_recipe(asked: Mapping[str, Any], *, recipe: str | None, store: Path, resume: bool) -> "Recipe | None":
    """The file's recipe, or the published one, with what the command line says; None where a run's own goes on."""
    from dataclasses import fields

    from ser_store.training.augmentation import Augmentation
    from ser_store.training.masking import Masking
    from ser_store.training.recipe import Recipe, parse_class_weights

    names = {entry.name for kind in (Recipe, Masking, Augmentation) for entry in fields(kind)}
    options = {name: value for name, value in asked.items() if name in names}
    if "class_weights" in options:
        options["class_weights"] = parse_class_weights(options["class_weights"])
    if recipe is not None:
        from ser_store.training.recipe_file import find_recipe

        return find_recipe(recipe, store=store).changed(**options)
    if not resume:
        return Recipe().changed(**options)
    if not options:
        return None
    from ser_store.training.resuming import stored_recipe
    from ser_store_h5.store import Store

    begun = stored_recipe(Store(store), model=asked.get("model"), run=asked.get("run"))
    return (begun or Recipe()).changed(**options)


def print_recipe_text(resolved: "Recipe | None", *, json: bool) -> None:
    """As TOML, or as a JSON document."""
    from ser_store.training.recipe import Recipe
    from ser_store.training.recipe_file import format_recipe

    resolved = resolved or Recipe()
    if json:
        print_json(resolved.to_json())
    else:
        typer.echo(format_recipe(resolved), nl=False)
