"""A recipe as a small TOML file, or taken from a run that was trained with it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_store.common.documents import load_toml, read_text
from ser_store.errors import SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store_h5.names import check_run_name
from ser_store_h5.store import Store

_HEADER = "# A recipe for serstore finetune --recipe FILE. What is left out is as published.\n"


def find_recipe(name: str | Path, *, store: Path | None = None) -> Recipe:
    """Find the recipe that ``name`` means: a TOML file, a ``run.json`` or its folder, or a run of the store.

    Raises:
        SerstoreError: if it means none of them, or the file states no recipe.
    """
    path = Path(name)
    if path.is_dir() and (path / "run.json").is_file():
        path = path / "run.json"
    if path.suffix == ".json":
        return _read_stated(path, _parse_json(path))
    if path.suffix == ".toml" or path.is_file():
        return load_recipe(path)
    if store is not None and store.exists() and _may_be_run(str(name)):
        opened = Store(store)
        if opened.has_run(str(name)):
            return _read_stated(store / str(name), opened.run(str(name)).details)
    raise SerstoreError(
        f"{str(name)!r} is no recipe: expected a TOML file, the run.json of a run, or a run of the store"
        + ("" if store is None else f" {store}")
    )


def load_recipe(path: Path) -> Recipe:
    """Read the recipe in a TOML file.

    Raises:
        UnknownNameError: for an option that a recipe does not have; says the nearest ones.
        SerstoreError: if the file cannot be read, or a value cannot be.
    """
    example = "lines such as learning_rate = 3e-5; `save_recipe()` writes one"
    return _blame(path, load_toml(path, expected="a recipe", example=example))


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write ``recipe`` as a TOML file.

    Raises:
        ExistsError: if there is such a file.

    >>> save_recipe(Recipe(learning_rate=3e-5), Path("mine.toml"))
    >>> load_recipe(Path("mine.toml")).learning_rate
    3e-05
    """
    from ser_store_h5.disk.atomic import write_text_atomically

    write_text_atomically(path, format_recipe(recipe), replace=False)


def format_recipe(recipe: Recipe) -> str:
    """Return all options of ``recipe`` as TOML, of which :func:`load_recipe` makes the same recipe.

    >>> print(format_recipe(Recipe(seed=7)).splitlines()[-1])
    gain_db = [-12.0, 12.0]
    """
    stated = {name: value for name, value in recipe.to_json().items() if value is not None}
    tables = {name: stated.pop(name) for name, value in list(stated.items()) if isinstance(value, Mapping)}
    lines = [_HEADER, *_format_pairs(stated)]
    for name, table in tables.items():
        pairs = _format_pairs(table)
        lines += ["", f"[{name}]", *pairs] if pairs else []
    return "\n".join(lines) + "\n"


def _format_pairs(stated: Mapping[str, Any]) -> list[str]:
    return [f"{_format_key(key)} = {_format(value)}" for key, value in stated.items() if value is not None]


def _format_key(key: str) -> str:
    """Bare where TOML allows it."""
    is_bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if is_bare else _format(key)


def _format(value: Any) -> str:
    """Numbers, truth values, texts and lists look in TOML as in JSON; DEL alone must be escaped there, too."""
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _may_be_run(name: str) -> bool:
    try:
        check_run_name(name)
    except SerstoreError:
        return False
    return True


def _parse_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path, expected="a recipe"))
    except (ValueError, RecursionError) as problem:
        raise SerstoreError(f"{path} is no JSON ({problem}): expected the run.json of a run") from problem


def _read_stated(path: Path, document: Any) -> Recipe:
    stated = document.get("recipe") if isinstance(document, Mapping) else None
    if not isinstance(stated, Mapping):
        raise SerstoreError(f"{path} states no recipe: expected a run of `finetune()`, others are not trained")
    return _blame(path, stated)


def _blame(path: Path, stated: Mapping[str, Any]) -> Recipe:
    """The recipe that is stated; a problem with it names the file, whose options are no parameters of a command."""
    try:
        return Recipe.from_json(stated)
    except SerstoreError as problem:
        raise type(problem)(f"{path}: {str(problem).replace('`', '')}") from problem
