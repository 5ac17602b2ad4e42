"""What a merge of two stores would write, and what stands against it, found before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ser_store_h5.corpus import Corpus
from ser_store_h5.corpus_file import check_column_name
from ser_store_h5.member import Member
from ser_store_h5.names import format_member
from ser_store_h5.pack.private import find_roots, hide_in_record, hide_paths
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

# What an optional array of the corpus is called among the columns that were added.
_OPTIONAL = ("speakers", "audio_digests", "paths")


@dataclass
class Plan:
    """What is to be written. Members and runs bear the names they get in the target.

    Attributes:
        corpus: of the target, with what it lacked.
        records: of runs that are new or state more now.
        points: what is to be appended to the curves of each run.
        sources: the names in the source of all its members.
        conflicts: each in a few words; none may stand where anything is written.
    """

    corpus: Corpus
    splits: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    records: dict[str, RunRecord] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    points: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    identical: list[str] = field(default_factory=list)
    kept_selections: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def plan_corpus(plan: Plan, said: Corpus, split_names: Mapping[str, str], column_names: Mapping[str, str]) -> None:
    """Add the splits, columns and other parts of the corpus that the target lacks."""
    own = plan.corpus
    splits, columns, changes = dict(own.splits), dict(own.columns), dict[str, Any]()
    kinds: tuple[tuple[str, Mapping[str, Any], dict[str, Any], Mapping[str, str], list[str]], ...] = (
        ("split", said.splits, splits, split_names, plan.splits),
        ("column", said.columns, columns, column_names, plan.columns),
    )
    for kind, given, kept, names, added in kinds:
        for name, values in given.items():
            new = check_column_name(names[name])
            if new not in kept:
                kept[new] = values
                added.append(new)
            elif not _is_same(kept[new], values):
                plan.conflicts.append(f"{kind} {new} says something else")
    for name in _OPTIONAL:
        if getattr(said, name) is None:
            continue
        if getattr(own, name) is None:
            changes |= {name: getattr(said, name)} | ({"audio_root": said.audio_root} if name == "paths" else {})
            plan.columns.append(name)
        elif name != "paths" and not _is_same(getattr(own, name), getattr(said, name)):
            plan.conflicts.append(f"{name} of the utterances differ")
    default = own.default_split or split_names.get(said.default_split or "")
    plan.corpus = replace(own, splits=splits, columns=columns, default_split=default, **changes)


def _is_same(own: Any, said: Any) -> bool:
    """Equal text, or equal numbers bit for bit, so that NaN equals itself."""
    if own.dtype.kind == "U" or said.dtype.kind == "U":
        return own.dtype.kind == said.dtype.kind and bool(np.array_equal(own, said))
    return bool(own.dtype == said.dtype and own.shape == said.shape and own.tobytes() == said.tobytes())


def plan_run(plan: Plan, target: Store, source: Store, run: str, name: str, splits: Mapping[str, str]) -> None:
    """Add ``run`` of the source, or what it says that the run ``name`` of the target does not."""
    said, points = source.run(run), source.curves(run)
    details = dict(said.details)
    if isinstance(details.get("split"), str):
        details["split"] = splits.get(details["split"], details["split"])
    said = replace(said, run=name, details=details)
    plan.sources |= {format_member(name, step): format_member(run, step) for step in source.steps(run)}
    if not target.has_run(name):
        plan.records[name], plan.points[name] = said, points
        plan.runs.append(name)
        return
    own = target.run(name)
    # One of the two may have come from a pack, which has no absolute paths.
    roots = [*find_roots(target.corpus, target.path), *find_roots(source.corpus, source.path)]
    differing = _find_differences(hide_in_record(own, roots), hide_in_record(said, roots))
    if differing:
        plan.conflicts.append(f"run {name} has another {', '.join(differing)}")
    record = _join_records(own, said)
    if record != own:
        plan.records[name] = record
    if own.selected and said.selected and own.selected.step != said.selected.step:
        plan.kept_selections.append(name)
    kept = target.curves(name)
    common = min(len(kept), len(points))
    if hide_paths(kept[:common], roots) != hide_paths(points[:common], roots):
        plan.conflicts.append(f"run {name} has other curves")
    plan.points[name] = points[common:]


def _find_differences(own: RunRecord, said: RunRecord) -> list[str]:
    """Kind, backbone and the details that two records of one run state differently."""
    differing = [key for key in ("kind", "backbone") if getattr(own, key) != getattr(said, key)]
    return differing + sorted(key for key, value in said.details.items() if own.details.get(key, value) != value)


def _join_records(own: RunRecord, said: RunRecord) -> RunRecord:
    state = said.state if own.state == "running" else own.state
    details = {**said.details, **own.details}
    return replace(own, state=state, selected=own.selected or said.selected, details=details)


def read_source(source: Store, name: str, wanted: str) -> Member:
    """A member of the source, under the run it gets in the target."""
    return replace(source.read_member(name), run=wanted.rpartition("@")[0])


def plan_member(plan: Plan, target: Store, source: Store, name: str) -> None:
    """Read a member of the source, and compare it with the one of the target if there is one."""
    said = read_source(source, plan.sources[name], name)
    if said.run in plan.runs or said.step not in target.steps(said.run):
        plan.added.append(name)
        return
    own = target.read_member(name)
    if _holds(own, said):
        plan.identical.append(name)
    elif _holds(said, own):
        plan.replaced.append(name)
    else:
        plan.conflicts.append(f"member {name} has other numbers")


def _holds(larger: Member, smaller: Member) -> bool:
    """Whether ``larger`` has every number of ``smaller``, bit for bit."""
    places = np.minimum(np.searchsorted(larger.rows, smaller.rows), len(larger.rows) - 1)
    if not np.array_equal(larger.rows[places], smaller.rows):
        return False
    held = larger.arrays
    return smaller.layers.keys() <= larger.layers.keys() and all(
        name in held and _is_same(held[name][places], part) for name, part in smaller.arrays.items() if name != "rows"
    )
