"""Merging: all of one store is added to another of the same corpus, or nothing is and every conflict is named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from ser_store_h5.corpus import Corpus
from ser_store_h5.corpus_file import check_column_name
from ser_store_h5.errors import StoreError, UnknownNameError, describe_unknown
from ser_store_h5.member import Member
from ser_store_h5.names import check_run_name, find_twins, format_member
from ser_store_h5.pack.private import find_roots, hide_in_record, hide_paths
from ser_store_h5.progress import Progress, ProgressLike, to_progress
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store

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


SHOWN_CONFLICTS = 20


@dataclass(frozen=True)
class MergeResult:
    """What a merge did. Members bear the names they have in the target.

    Attributes:
        added: members that the target did not have.
        identical: members that were there already, with every number the source has of them.
        splits: splits that were added.
        columns: columns that were added, ``speakers``, ``paths`` and ``audio_digests`` among them.
        replaced: members of which the source had more utterances or more arrays, and the same numbers for the rest.
        runs: runs that the target did not have.
        kept_selections: runs of which the source had selected another step; the target's choice stays.
    """

    added: tuple[str, ...]
    identical: tuple[str, ...]
    splits: tuple[str, ...]
    columns: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    kept_selections: tuple[str, ...] = ()


def merge(
    target: StoreLike,
    source: StoreLike,
    *,
    rename: Mapping[str, str] | None = None,
    progress: ProgressLike = False,
) -> MergeResult:
    """Add all runs, members, curves, splits and columns of ``source`` to ``target``; ``source`` stays as it is.

    Everything is read and compared before anything is written:

    - A run in both must agree in kind, backbone and every detail that both state. Details, and a selected step, that
      only the source states are added; where both selected a step, the target's stays. A target that was still
      ``running`` takes the source's state.
    - A member in both stays if it holds every number of the source's, bit for bit; it is replaced if the source's holds
      all of its numbers and more (utterances, or arrays). Otherwise it is a conflict.
    - Of two curves one must be the beginning of the other; the longer one wins.
    - Splits and columns in both must be equal. Name, class order, default split and audio paths of the target stay.

    A kill leaves a valid store; the same merge, run again, completes it.

    Args:
        rename: names that runs, splits and columns of the source get in the target: the way out of a conflict. Runs
            that state a renamed split state its new name; what other runs say about a renamed one in their provenance
            stays as it was written.
        progress: show a bar over the members, first as they are read, then as they are written; or a function that
            does, see :class:`.progress.Progress`.

    Raises:
        StoreError: if the stores are of different corpora, or contradict each other; nothing was written.
        UnknownNameError: if nothing in the source bears a name to be replaced.

    >>> import ser_store as ss
    >>> store = ss.Store.create("my.store", ids=["a", "b"], labels=["happy", "sad"])
    >>> name = store.add("mine", ids=["a", "b"], predicted=["happy", "happy"])
    >>> other = ss.Store.create("other.store", ids=["a", "b"], labels=["happy", "sad"])
    >>> ss.merge(other, store).added
    ('mine@0',)
    """
    target, source = open_store(target), open_store(source)
    if source.corpus.digest != target.corpus.digest:
        raise StoreError(
            f"{source.path} is of another corpus ({source.corpus.name}, {len(source.corpus)} utterances) than "
            f"{target.path} ({target.corpus.name}, {len(target.corpus)}): expected two stores with the same "
            f"utterances, labels and classes, found {target.corpus.describe_difference(source.corpus)}"
        )
    for run in source.runs():
        target.run_folder(run)  # a packed target refuses, before much is read
    renamed, known = rename or {}, [*source.runs(), *source.corpus.splits, *source.corpus.columns]
    for name in renamed:
        if name not in known:
            raise UnknownNameError(describe_unknown("run, split or column", name, known))
    splits = _rename("split", source.corpus.splits, renamed)
    plan = Plan(target.corpus)
    plan_corpus(plan, source.corpus, splits, _rename("column", source.corpus.columns, renamed))
    for run, name in _rename("run", source.runs(), renamed).items():
        plan_run(plan, target, source, run, check_run_name(name), splits)
    for one, other in find_twins({*target.runs(), *plan.runs}):
        if {one, other} & set(plan.runs):
            plan.conflicts.append(f"runs {one} and {other} differ in case alone")
    shown = to_progress(progress)
    for name in shown(list(plan.sources), total=len(plan.sources), label="merging"):
        plan_member(plan, target, source, name)
    _refuse_conflicts(plan, target, source)
    return _carry_out(plan, target, source, shown)


def _rename(kind: str, names: Iterable[str], renamed: Mapping[str, str]) -> dict[str, str]:
    """Every name of the source with the one it gets in the target."""
    names = list(names)
    new = {name: renamed.get(name, name) for name in names}
    twice = [name for name in names if list(new.values()).count(new[name]) > 1]
    if twice:
        raise StoreError(
            f"{kind}s {', '.join(twice[:12])} would be called {new[twice[0]]}: give each a name of its own"
        )
    return new


def _refuse_conflicts(plan: Plan, target: Store, source: Store) -> None:
    if not plan.conflicts:
        return
    shown = "; ".join(plan.conflicts[:SHOWN_CONFLICTS])
    rest = f"; … ({len(plan.conflicts)} in all)" if len(plan.conflicts) > SHOWN_CONFLICTS else ""
    raise StoreError(
        f"{source.path} contradicts {target.path}, nothing was merged: {shown}{rest}; give what differs another name "
        "with `rename`, or remove it from one of the two"
    )


def _carry_out(plan: Plan, target: Store, source: Store, progress: Progress) -> MergeResult:
    """Every step is whole or not at all, and what is written first is found identical when it is all run again."""
    if plan.splits or plan.columns or plan.corpus.default_split != target.corpus.default_split:
        target.update_corpus(plan.corpus)
    for name, record in plan.records.items():
        if name in plan.runs:
            target.add_run(record)
        else:
            target.update_run(record)
    changed = {*plan.added, *plan.replaced}
    ordered = [name for name in plan.sources if name in changed]
    for name in progress(ordered, total=len(ordered), label="merging"):
        target.write_member(read_source(source, plan.sources[name], name), replace=name in plan.replaced)
    for run, points in plan.points.items():
        for point in points:
            target.append_curve(run, **point)
    return MergeResult(**{one.name: tuple(getattr(plan, one.name)) for one in fields(MergeResult)})
