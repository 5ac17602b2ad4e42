"""All that a page shows, gathered from the other rooms as one document."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import join
from typing import Any

from ser_store.evaluation import Evaluations
from ser_store.evaluation.choice.exclusion import are_named
from ser_store.evaluation.choice.saved_ensembles import find_copies, is_unnamed_ensemble
from ser_store.reporting.figures import compare_errors, describe_choice, iter_curves, list_members, search_best
from ser_store.reporting.packing import pack_classes, pack_shares
from ser_store.reporting.question import Asked, describe_question
from ser_store.reporting.utterances import Audio, describe_hard, iter_slices
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


def gather(asked: Asked, found: Evaluations, *, title: str | None, audio: Audio | None, beside: Path) -> dict[str, Any]:
    """Return the document that the page is made of; parameters as those of :func:`ser_store.reporting.report.report`.

    Args:
        asked: the question, settled.
        found: the figures of its members.
        title: the heading.
        audio: whether recordings are told of.
        beside: the folder of the page.
    """
    store, rows = asked.store, asked.rows
    members = list_members(store, found)
    names = [one["name"] for one in members]
    predicted, truth, n_classes = store.predictions(names, rows), store.corpus.labels[rows], len(store.corpus.classes)
    candidates = [name for name in names if not is_unnamed_ensemble(store, name, asked.members)]
    copies = {} if are_named(asked.members) else find_copies(store, candidates)
    searched = search_best(asked, [name for name in candidates if name not in copies])
    choice = None if searched is None else describe_choice(searched)
    compared = names[:1] if choice is None else [str(Ensemble(choice["members"])), choice["best_single"]["member"]]
    return {
        "title": title or store.corpus.name,
        "question": describe_question(asked, found),
        "choice": choice,
        "members": members,
        "curves": list(iter_curves(asked, names)),
        "disagreement": compare_errors(names, predicted, truth, n_classes),
        "hard": describe_hard(asked, predicted, audio=audio, beside=beside),
        "slices": list(iter_slices(asked, list(dict.fromkeys(compared)))),
        "provenance": describe_provenance(asked, names, choice),
        "votes": {
            "truth": pack_classes(truth, n_classes),
            "predicted": [pack_classes(own, n_classes) for own in predicted],
            "shares": pack_shares(store, names, rows),
        },
    }
