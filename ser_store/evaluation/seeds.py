"""Runs that differ in nothing but the seed: how far the accuracy goes from one to another."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from ser_store_h5.names import PLUS, parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

_KINDS = ("finetune", "head", "folds")
# What decides a run beside its seed and its recipe.
_DECISIVE = (
    *("model", "init", "checkpoint", "split", "fold", "valid"),
    *("source", "sources", "head", "estimator", "inputs", "layer", "normalise", "class_weight", "combine", "tune"),
    *("cv", "folds"),
)


@dataclass(frozen=True)
class SeedFigures:
    """Members of runs that differ in the seed alone, two or more.

    Attributes:
        members: full names.
        seeds: of their runs.
        accuracies: in 0..1.
    """

    members: tuple[str, ...]
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]

    def __str__(self) -> str:
        low, high = min(self.accuracies), max(self.accuracies)
        stem = parse_member(self.members[0])[0].removesuffix(name_seed("", self.seeds[0]))
        return (
            f"{len(self.seeds)} seeds of {stem}: accuracy {fmean(self.accuracies):.2%} ± "
            f"{stdev(self.accuracies) * 100:.2f} (mean ± standard deviation), {low:.2%} to {high:.2%}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the entry of ``serstore evaluate --json``."""
        figures = {"mean": fmean(self.accuracies), "std": stdev(self.accuracies)}
        figures |= {"low": min(self.accuracies), "high": max(self.accuracies)}
        return {"members": list(self.members), "seeds": list(self.seeds), **figures}


def name_seed(stem: str, seed: int) -> str:
    """Return the name of the run of one seed, where several are asked for at once.

    >>> name_seed("xlsr53", 1)
    'xlsr53-seed-1'
    """
    return f"{stem}-seed-{seed}"


def gather_seeds(store: Store, accuracies: Mapping[str, float]) -> tuple[SeedFigures, ...]:
    """Return the figures of each group of members whose runs differ in nothing but the seed.

    Args:
        accuracies: by full name; ensembles and runs of which several steps are named belong to no group.
    """
    runs = [parse_member(name)[0] for name in accuracies if PLUS not in name]
    groups: dict[str, list[tuple[int, str]]] = {}
    for name in accuracies:
        if PLUS in name or runs.count(parse_member(name)[0]) > 1:
            continue
        record = store.run(parse_member(name)[0])
        seed = _read_seed(record)
        if seed is not None:
            groups.setdefault(_identify(record), []).append((seed, name))
    return tuple(_make_figures(own, accuracies) for own in groups.values() if len({seed for seed, _ in own}) > 1)


def _make_figures(own: Sequence[tuple[int, str]], accuracies: Mapping[str, float]) -> SeedFigures:
    ordered = sorted(own)
    names = tuple(name for _, name in ordered)
    return SeedFigures(names, tuple(seed for seed, _ in ordered), tuple(accuracies[name] for name in names))


def _read_seed(record: RunRecord) -> int | None:
    recipe = record.details.get("recipe")
    seed = recipe.get("seed") if isinstance(recipe, Mapping) else record.details.get("seed")
    return seed if record.kind in _KINDS and type(seed) is int else None


def _identify(record: RunRecord) -> str:
    """A text that is the same for runs which differ in nothing but the seed."""
    recipe = record.details.get("recipe")
    own = {key: value for key, value in recipe.items() if key != "seed"} if isinstance(recipe, Mapping) else None
    decisive = {key: record.details.get(key) for key in _DECISIVE}
    if decisive["estimator"] is not None:
        decisive["estimator"] = _drop_seed(decisive["estimator"], _read_seed(record))
    return json.dumps([record.kind, record.backbone, "steps" in record.details, own, decisive], sort_keys=True)


def _drop_seed(estimator: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
    """An estimator as a head's record describes it, without each ``random_state`` that is the head's seed."""
    parameters = estimator["parameters"].items()
    kept = {name: value for name, value in parameters if not (name.endswith("random_state") and value == seed)}
    return {**estimator, "parameters": kept}
