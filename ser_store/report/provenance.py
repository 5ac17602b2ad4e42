"""Where the numbers of a page come from: runs, recipes, seeds, digests, and the commands that find them again."""

from collections.abc import Sequence
from shlex import join
from typing import Any

from ser_store.report.question import Asked
from ser_store_h5 import __version__
from ser_store_h5.names import parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

# Of a recipe, what tells most trainings apart.
_RECIPE = ("seed", "learning_rate", "num_train_epochs", "per_device_train_batch_size", "precision")
_DETAILS = ("split", "fold", "cv", "head", "kind", "layer", "normalise", "settings", "source", "revision", "scores")


def describe_provenance(asked: Asked, names: Sequence[str], best: Sequence[str]) -> dict[str, Any]:
    """Return what made the members, what identifies the corpus, and how the figures are found again."""
    store, corpus = asked.store, asked.store.corpus
    runs = dict.fromkeys(parse_member(name)[0] for name in names)
    return {
        "serstore": __version__,
        "store": store.path.name,
        "digest": corpus.digest,
        "runs": [_describe_run(store, store.run(run)) for run in runs],
        "commands": _list_commands(asked, names, best),
    }


def _describe_run(store: Store, record: RunRecord) -> dict[str, Any]:
    recipe = record.details.get("recipe")
    known = {name: recipe[name] for name in _RECIPE if name in recipe} if isinstance(recipe, dict) else {}
    known |= {name: record.details[name] for name in _DETAILS if record.details.get(name) is not None}
    versions = record.details.get("versions")
    told = versions.items() if isinstance(versions, dict) else ()
    return {
        "run": record.run,
        "kind": record.kind,
        "backbone": record.backbone,
        "state": record.state,
        "steps": len(store.steps(record.run)),
        "facts": [f"{name.replace('_', ' ')} {_shorten(value)}" for name, value in known.items()],
        "selected": None if record.selected is None else f"step {record.selected.step}: {record.selected.reason}",
        "versions": ", ".join(f"{name} {version}" for name, version in told),
    }


def _shorten(value: object, most: int = 60) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _list_commands(asked: Asked, names: Sequence[str], best: Sequence[str]) -> list[str]:
    scope = ["--on", str(asked.on), *(["--split", asked.split] if asked.split else []), "--store", asked.store.path.name]
    commands = [["evaluate", *names, *scope]]
    if len(best) > 1:
        commands.append(["vote", *names, "--k", str(len(best)), "--all-combos", *scope])
        commands.append(["evaluate", "+".join(best), *scope])
    commands.append(["report", *names, *scope, "-o", "report.html"])
    return [join(["serstore", *words]) for words in commands]
