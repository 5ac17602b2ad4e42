"""A store as plain dictionaries, and what each operation does to them; with the package it shares only values."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from store_samples import make_corpus

from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord, Selection


@dataclass
class ModelRun:
    record: RunRecord
    members: dict[int, Member] = field(default_factory=dict)
    points: list[dict[str, Any]] = field(default_factory=list)

    @property
    def selected_step(self) -> int:
        chosen = self.record.selected
        return chosen.step if chosen is not None and chosen.step in self.members else max(self.members)


@dataclass
class Model:
    """What a store should say."""

    corpus: Corpus = field(default_factory=make_corpus)
    runs: dict[str, ModelRun] = field(default_factory=dict)

    def copy(self) -> "Model":
        return copy.deepcopy(self)

    @property
    def names(self) -> list[str]:
        return [f"{run}@{step}" for run in sorted(self.runs) for step in sorted(self.runs[run].members)]

    def member(self, name: str) -> Member:
        run, _, step = name.partition("@")
        return self.runs[run].members[int(step)]


def as_read(value: Any) -> Any:
    """A JSON value as it comes back: numbers that are not finite become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: as_read(inner) for key, inner in value.items()}
    return [as_read(inner) for inner in value] if isinstance(value, list) else value


def predict(member: Member) -> list[int]:
    """The class with the highest logit, the lowest of several."""
    if member.logits is None:
        assert member.predicted is not None
        return [int(label) for label in member.predicted]
    return [max(range(len(logits)), key=lambda place: (logits[place], -place)) for logits in member.logits.tolist()]


def make_member(run: str, step: int, seed: int, corpus: Corpus) -> Member:
    """Any member the format can hold: some rows, some arrays, ties and signed zeros among the numbers."""
    random = np.random.default_rng(seed)
    n, c = len(corpus), len(corpus.classes)
    covers_all = random.random() < 0.6
    rows = np.arange(n) if covers_all else np.sort(random.choice(n, int(random.integers(1, n + 1)), replace=False))
    m, kinds = len(rows), int(random.integers(1, 8))
    logits = random.integers(-2, 3, (m, c)).astype(np.float32) * np.float32(random.choice([0.5, -1, 1e30]))
    pooled = random.normal(size=(m, int(random.integers(1, 6)))).astype(random.choice([np.float16, np.float32]))
    return Member(
        run,
        step,
        rows.astype(np.int32),
        logits=logits if kinds & 1 else None,
        pooled=pooled if kinds & 2 else None,
        predicted=random.integers(0, c, m).astype(np.int16) if kinds & 4 else None,
        provenance={"source": "model", "seed": seed, "text": 'ä\u2028"\n'},
    )


def _get_numbers(member: Member) -> dict[tuple[str, int], bytes]:
    """Every row of every array of a member."""
    held = {name: getattr(member, name) for name in ("logits", "pooled", "predicted")}
    return {
        (f"{name} {array.dtype} {array.shape[1:]}", int(row)): array[place].tobytes()
        for name, array in held.items()
        if array is not None
        for place, row in enumerate(member.rows)
    }


class ConflictError(Exception):
    """Two models contradict each other."""


def merge_models(target: Model, source: Model) -> Model:
    """The union, member by member.

    Raises:
        ConflictError: if there is none.
    """
    found = target.copy()
    for kind in ("splits", "columns"):
        own, said = getattr(target.corpus, kind), getattr(source.corpus, kind)
        if any(name in own and own[name].tolist() != values.tolist() for name, values in said.items()):
            raise ConflictError(kind)
        found.corpus = replace(found.corpus, **{kind: {**said, **own}})
    found.corpus = replace(found.corpus, default_split=target.corpus.default_split or source.corpus.default_split)
    for name, said_run in source.runs.items():
        own_run = target.runs.get(name)
        found.runs[name] = said_run if own_run is None else _merge_runs(own_run, said_run)
    return found.copy()


def _merge_runs(own: ModelRun, said: ModelRun) -> ModelRun:
    one, other = own.record, said.record
    shared = set(one.details) & set(other.details)
    if (one.backbone, one.kind) != (other.backbone, other.kind) or any(
        as_read(one.details[key]) != as_read(other.details[key]) for key in shared
    ):
        raise ConflictError("record")
    common = min(len(own.points), len(said.points))
    if own.points[:common] != said.points[:common]:
        raise ConflictError("curves")
    members = dict(said.members) | own.members
    for step in set(own.members) & set(said.members):
        kept, given = _get_numbers(own.members[step]), _get_numbers(said.members[step])
        if kept.items() >= given.items():
            members[step] = own.members[step]
        elif given.items() >= kept.items():
            members[step] = said.members[step]
        else:
            raise ConflictError("member")
    record = replace(one, details={**other.details, **one.details}, selected=one.selected or other.selected)
    record = replace(record, state=other.state if one.state == "running" else one.state)
    return ModelRun(record, members, max(own.points, said.points, key=len))


def select(step: int) -> Selection:
    return Selection(step, "step", "test", f"step {step} was asked for")
