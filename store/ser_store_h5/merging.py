"""Merging: all of one store is added to another of the same corpus, or nothing is and every conflict is named."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ser_store_h5.corpus import Corpus
from ser_store_h5.corpus_file import check_column_name
from ser_store_h5.errors import FormatError, StoreError, UnknownNameError, describe_unknown
from ser_store_h5.member import Member
from ser_store_h5.names import check_run_name, format_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

ARRAYS = ("logits", "pooled", "predicted")
SHOWN_CONFLICTS = 20
# What an optional array of the corpus is called among the columns that were added.
_OPTIONAL = ("speakers", "audio_digests", "paths")

Watch = Callable[[list[str]], Iterable[str]]


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


@dataclass
class _Plan:
    """What is to be written, and what stands against it."""

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


def merge(
    target: Store,
    source: Store,
    *,
    runs_as: Mapping[str, str] | None = None,
    splits_as: Mapping[str, str] | None = None,
    columns_as: Mapping[str, str] | None = None,
    watch: Watch = iter,
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
        runs_as: names that runs of the source get in the target: the way out of a conflict. What other runs say about
            them in their provenance stays as it was written.
        splits_as: the same for splits; runs that state a renamed split state its new name.
        columns_as: the same for columns.
        watch: wraps the names of members, to show progress: first of those that are read, then of those written.

    Raises:
        StoreError: if the stores are of different corpora, or contradict each other; nothing was written.
        UnknownNameError: if a name to be replaced is not in the source.
    """
    if source.corpus.digest != target.corpus.digest:
        raise StoreError(
            f"{source.path} is of another corpus ({source.corpus.name}, {len(source.corpus)} utterances) than "
            f"{target.path} ({target.corpus.name}, {len(target.corpus)}): expected two stores with the same "
            "utterances, labels and classes"
        )
    for run in source.runs():
        target.run_folder(run)  # a packed target refuses, before much is read
    splits = _rename("split", source.corpus.splits, splits_as)
    plan = _Plan(target.corpus)
    _plan_corpus(plan, source.corpus, splits, _rename("column", source.corpus.columns, columns_as))
    for run, name in _rename("run", source.runs(), runs_as).items():
        _plan_run(plan, target, source, run, check_run_name(name), splits)
    for name in watch(list(plan.sources)):
        _plan_member(plan, target, source, name)
    _refuse_conflicts(plan, target, source)
    return _carry_out(plan, target, source, watch)


def _rename(kind: str, names: Iterable[str], renamed: Mapping[str, str] | None) -> dict[str, str]:
    """Every name of the source with the one it gets in the target."""
    names, renamed = list(names), renamed or {}
    for name in renamed:
        if name not in names:
            raise UnknownNameError(describe_unknown(kind, name, names))
    new = {name: renamed.get(name, name) for name in names}
    twice = [name for name in names if list(new.values()).count(new[name]) > 1]
    if twice:
        raise StoreError(
            f"{kind}s {', '.join(twice[:12])} would be called {new[twice[0]]}: give each a name of its own"
        )
    return new


def _plan_corpus(plan: _Plan, said: Corpus, split_names: Mapping[str, str], column_names: Mapping[str, str]) -> None:
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


def _plan_run(plan: _Plan, target: Store, source: Store, run: str, name: str, splits: Mapping[str, str]) -> None:
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
    differing = _find_differences(own, said)
    if differing:
        plan.conflicts.append(f"run {name} has another {', '.join(differing)}")
    record = _join_records(own, said)
    if record != own:
        plan.records[name] = record
    if own.selected and said.selected and own.selected.step != said.selected.step:
        plan.kept_selections.append(name)
    kept = target.curves(name)
    common = min(len(kept), len(points))
    if kept[:common] != points[:common]:
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


def _read_source(source: Store, name: str, wanted: str) -> Member:
    """A member of the source, under the run it gets in the target."""
    member = source.read_member(name)
    if member.name != name:
        raise FormatError(
            f"{source.path}: {name} says it is {member.name}: expected the name its folder and file give it"
        )
    return replace(member, run=wanted.rpartition("@")[0])


def _plan_member(plan: _Plan, target: Store, source: Store, name: str) -> None:
    said = _read_source(source, plan.sources[name], name)
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
    for name in ARRAYS:
        part, whole = getattr(smaller, name), getattr(larger, name)
        if part is not None and (whole is None or not _is_same(whole[places], part)):
            return False
    return True


def _refuse_conflicts(plan: _Plan, target: Store, source: Store) -> None:
    if not plan.conflicts:
        return
    shown = "; ".join(plan.conflicts[:SHOWN_CONFLICTS])
    rest = f"; … ({len(plan.conflicts)} in all)" if len(plan.conflicts) > SHOWN_CONFLICTS else ""
    raise StoreError(
        f"{source.path} contradicts {target.path}, nothing was merged: {shown}{rest}; give what differs another name "
        "(runs_as, splits_as, columns_as; `serstore merge --rename OLD=NEW`), or remove it from one of the two"
    )


def _carry_out(plan: _Plan, target: Store, source: Store, watch: Watch) -> MergeResult:
    """Every step is whole or not at all, and what is written first is found identical when it is all run again."""
    if plan.splits or plan.columns or plan.corpus.default_split != target.corpus.default_split:
        target.update_corpus(plan.corpus)
    for name, record in plan.records.items():
        if name in plan.runs:
            target.add_run(record)
        else:
            target.update_run(record)
    for name in watch(_order(plan)):
        target.write_member(_read_source(source, plan.sources[name], name), replace=name in plan.replaced)
    for run, point in _iter_points(plan):
        target.append_curve(run, **point)
    return MergeResult(
        added=tuple(plan.added),
        identical=tuple(plan.identical),
        splits=tuple(plan.splits),
        columns=tuple(plan.columns),
        replaced=tuple(plan.replaced),
        runs=tuple(plan.runs),
        kept_selections=tuple(plan.kept_selections),
    )


def _order(plan: _Plan) -> list[str]:
    changed = {*plan.added, *plan.replaced}
    return [name for name in plan.sources if name in changed]


def _iter_points(plan: _Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    for run, points in plan.points.items():
        for point in points:
            yield run, point
