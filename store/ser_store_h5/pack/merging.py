"""Merging: all of one store is added to another of the same corpus, or nothing is and every conflict is named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from ser_store_h5.errors import StoreError, UnknownNameError, describe_unknown
from ser_store_h5.names import check_run_name, find_twins
from ser_store_h5.pack.merge_plan import Plan, plan_corpus, plan_member, plan_run, read_source
from ser_store_h5.progress import Progress, ProgressLike, to_progress
from ser_store_h5.store import Store, StoreLike, open_store

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
