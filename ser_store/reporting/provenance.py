"""Where the numbers of a page come from: runs, recipes, seeds, digests, and the commands that find them again."""

from collections.abc import Mapping, Sequence
from shlex import join
from typing import Any

from ser_store.reporting.question import Asked
from ser_store_h5 import __version__
from ser_store_h5.names import Ensemble, parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

# Of a recipe, what tells most trainings apart.
_RECIPE = ("seed", "learning_rate", "num_train_epochs", "per_device_train_batch_size", "precision")
_DETAILS = ("split", "fold", "cv", "head", "kind", "layer", "normalise", "settings", "source", "revision", "scores")


def describe_provenance(asked: Asked, names: Sequence[str], choice: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what made the members, what identifies the corpus, and how the figures are found again."""
    store, corpus = asked.store, asked.store.corpus
    runs = dict.fromkeys(parse_member(name)[0] for name in names)
    return {
        "serstore": __version__,
        "store": store.path.name,
        "digest": corpus.digest,
        "runs": [_describe_run(store, store.run(run)) for run in runs],
        "commands": _list_commands(asked, choice),
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


def _list_commands(asked: Asked, choice: Mapping[str, Any] | None) -> list[str]:
    on = ["--on", str(asked.on), *(["--split", asked.split] if asked.split else [])]
    whom = [*asked.members, *(word for name in asked.exclude for word in ("--exclude", name))]
    whom += ["--steps", asked.steps] if asked.steps != "selected" else []
    scope = [*on, "--store", asked.store.path.name]
    commands = [["evaluate", *whom, *scope]]
    if choice is not None:
        commands.append(["vote", *whom, "--k", str(choice["k"]), "--all-combos", *scope])
        commands.append(["evaluate", str(Ensemble(choice["members"])), *scope])
    size = [] if asked.k is None else ["--k", str(asked.k)]
    commands.append(["report", *whom, *size, *scope, "-o", "report.html"])
    return [join(["serstore", *words]) for words in commands]
