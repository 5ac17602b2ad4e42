"""Which members and which part of the split a question is about, where it does not name them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice
from ser_store.errors import EnsembleError, SerstoreError, StoreError, list_some
from ser_store.evaluation.choice.exclusion import Exclusion
from ser_store.evaluation.folds import refuse_single_folds
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import MemberInfo
from ser_store_h5.names import PLUS, Ensemble, format_member
from ser_store_h5.store import Store

# Which steps are meant of a run that is named without one, or not at all.
Steps = Literal["selected", "all"]


@dataclass(frozen=True)
class Chosen:
    """Members that a question is about.

    Attributes:
        names: full names.
        rows: ``(m,)`` int32, indices of the utterances that they are judged on.
        cautions: a line for what was left out.
    """

    names: list[str]
    rows: NDArray[np.int32]
    cautions: tuple[str, ...] = ()


def name_part(corpus: Corpus, on: str | None, split: str | None = None) -> str:
    """Return the part meant by ``on``: itself; where None, ``test`` if the split has it, else ``all``.

    >>> import ser_store as ss
    >>> name_part(ss.open_example().corpus, None)
    'test'
    """
    if on is not None:
        return on
    return "test" if corpus.splits and "test" in corpus.part_names(split) else "all"


def choose_members(
    store: Store,
    members: Sequence[str] = (),
    *,
    steps: Steps = "selected",
    leave_out: Callable[[str], bool] = lambda _: False,
) -> tuple[list[str], tuple[str, ...]]:
    """Return full names of the members meant, and a line that names what was left out, if anything was.

    Those that are named; else of every run its selected step, or all its steps, as far as they can be read and predict
    anything. A run named without a step means its selected step, or with ``steps="all"`` all of them.

    Args:
        members: names; none for every run.
        leave_out: is asked of runs and of full names; what it leaves out is not read.

    Raises:
        StoreError: if the store has no member that predicts anything, or one is named twice.
        UnknownNameError: if there is no such member.

    >>> import ser_store as ss
    >>> choose_members(ss.open_example(), ["xlsr53"])
    (['xlsr53@1100'], ())
    """
    if members:
        return [name for name in resolve_members(store, members, steps=steps) if not leave_out(name)], ()
    found, left_out = _list_voting(store, steps, leave_out)
    return [member.name for member in found], left_out


def _list_voting(
    store: Store, steps: Steps, leave_out: Callable[[str], bool] = lambda _: False
) -> tuple[list[MemberInfo], tuple[str, ...]]:
    skipped: list[str] = []

    def skip(name: str) -> bool:
        is_out = leave_out(name)
        if is_out:
            skipped.append(name)
        return is_out

    found, left_out = list_readable(store, steps=steps, holds=lambda member: member.can_vote, leave_out=skip)
    if not found and not skipped:
        raise StoreError(
            f"{store.path} has no member that predicts anything: make one with `finetune()`, `head()` or "
            f"`import_predictions()`{''.join(f'; {line}' for line in left_out)}"
        )
    return found, left_out


def resolve_members(store: Store, members: Sequence[str], *, steps: Steps = "selected") -> list[str]:
    """Return the full names of the members that are named; see :func:`choose_members`.

    Raises:
        StoreError: if one is named twice.
        UnknownNameError: if there is no such member.
    """
    check_choice("choice of steps", steps, get_args(Steps))
    chosen: list[str] = []
    for name in members:
        run, step = store.resolve(name)
        chosen += store.member_names(run) if steps == "all" and "@" not in name else [format_member(run, step)]
    _refuse_twice(chosen, "member")
    return chosen


def _refuse_twice(names: Sequence[str], kind: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StoreError(f"{twice[0]} is named twice: expected every {kind} once")


def list_readable(
    store: Store,
    *,
    steps: Steps = "selected",
    holds: Callable[[MemberInfo], bool] = lambda _: True,
    leave_out: Callable[[str], bool] = lambda _: False,
) -> tuple[list[MemberInfo], tuple[str, ...]]:
    """Describe the members of all runs that can be read, and name the rest in a line, if there is one.

    For questions about all runs, which do without one that is damaged.

    Args:
        steps: take of each run the ``selected`` step, or ``all``.
        holds: whether a member has what is asked for.
        leave_out: is asked of runs and of full names; what it leaves out is not read.

    Raises:
        StoreError: if the list of the runs cannot be read.
    """
    check_choice("choice of steps", steps, get_args(Steps))
    found: list[MemberInfo] = []
    broken: list[str] = []
    for run in store.runs():
        if leave_out(run):
            continue
        try:
            store.run(run)
            own = store.member_names(run)
            chosen = own if steps == "all" or not own else [format_member(run, store.selected_step(run))]
        except SerstoreError:
            broken.append(run)
            continue
        for name in chosen:
            if leave_out(name):
                continue
            try:
                member = store.describe_member(name)
            except SerstoreError:
                broken.append(name)
            else:
                found += [member] if holds(member) else []
    return found, describe_unreadable(broken)


def describe_unreadable(names: Sequence[str]) -> tuple[str, ...]:
    """Return the line for what a question about all runs does without; none where everything can be read.

    >>> describe_unreadable(["mine"])
    ('left out, since it cannot be read (`ls()` says why): mine',)
    """
    return (f"left out, since it cannot be read (`ls()` says why): {', '.join(names)}",) if names else ()


def choose_covering(
    store: Store,
    members: Sequence[str],
    rows: NDArray[np.int32],
    *,
    on: str,
    steps: Steps = "selected",
    exclude: Sequence[str] = (),
) -> Chosen:
    """Return the members meant by a question about ``rows``, and those of ``rows`` that they cover.

    Where none are named, those that do not cover all rows are left out, and a caution says so. A single one is judged
    on what it covers. Of several that are named none is left out: reading one that does not cover all is refused.

    Args:
        members: names, of ensembles too; none for the selected or all steps of every run, by ``steps``.
        rows: ``(m,)`` int32, indices of the utterances asked for.
        on: what they are called.
        exclude: members, runs or patterns that are left out.

    Raises:
        StoreError: if no member covers the rows, or the single one none of them.
        UnknownNameError: if there is no such member.
    """
    is_excluded = Exclusion(exclude)
    unread, whole = tuple[str, ...](), frozenset[str]()
    if members:
        names = [name for name in name_ensembles(store, members, steps=steps) if not is_excluded(name)]
    else:
        found, unread = _list_voting(store, steps, is_excluded)
        names = [member.name for member in found]
        whole = frozenset(member.name for member in found if member.n == len(store.header))
    is_excluded.check(names)
    if len(names) == 1:
        alone = _choose_alone(store, names[0], rows, on=on)
        return replace(alone, cautions=(*unread, *alone.cautions))
    if members:
        refuse_single_folds(store, names, rows)
        return Chosen(names, rows)
    kept, left_out = keep_covering(store, names, rows, on=on, whole=whole)
    return Chosen(kept, rows, (*unread, *left_out))


def name_ensembles(store: Store, members: Sequence[str], *, steps: Steps = "selected") -> list[str]:
    """Return the full names of the members and ensembles that are named, as :func:`resolve_members` does.

    Raises:
        EnsembleError, StoreError, UnknownNameError: as :func:`resolve_members` and :func:`resolve_ensemble`.
    """
    chosen: list[str] = []
    for name in members:
        if PLUS in name:
            chosen.append(str(Ensemble(resolve_ensemble(store, name))))
        else:
            chosen += resolve_members(store, [name], steps=steps)
    _refuse_twice(chosen, "member or ensemble" if any(PLUS in name for name in members) else "member")
    return chosen


def resolve_ensemble(store: Store, name: str) -> list[str]:
    """Return full names of the members in ``name``: one, or several joined by plus signs, in the order named.

    Raises:
        UnknownNameError: if there is no such member.
        StoreError: if one is named twice, or its name breaks the rule of names.
        EnsembleError: if there is nothing before, between or after the plus signs.
    """
    members = name.split(PLUS)
    if "" in members:
        raise EnsembleError(
            f"{name!r} names no member at one side of a plus sign: expected an ensemble such as a@1+b@2+c@3"
        )
    return resolve_members(store, members)


def _choose_alone(store: Store, name: str, rows: NDArray[np.int32], *, on: str) -> Chosen:
    covers = np.all([np.isin(rows, store.covered(member)) for member in name.split(PLUS)], axis=0)
    n = int(covers.sum())
    if n == len(rows):
        return Chosen([name], rows)
    if not n:
        refuse_single_folds(store, [name], rows)
        raise StoreError(
            f"{name} covers none of the {len(rows)} utterances of {on}: expected some; choose another `on` or `split`, "
            "or make the missing ones with `extract()`"
        )
    text = f"{name} covers {n} of the {len(rows)} utterances of {on}: its figures are of these {n} alone"
    return Chosen([name], rows[covers], (text,))


def keep_covering(
    store: Store, names: Sequence[str], rows: NDArray[np.int32], *, on: str, whole: Collection[str] = ()
) -> tuple[list[str], tuple[str, ...]]:
    """Return those of ``names`` that cover all ``rows``, and a line for the rest, if there is one.

    For questions that name no members: a store may hold several splits, and members that were made by them.

    Args:
        names: full names.
        rows: ``(m,)`` indices of the utterances asked for.
        on: what they are called.
        whole: those of ``names`` that are known to cover the whole corpus; their files are not opened again.

    Raises:
        StoreError: if no member covers them all.
    """
    partial = [name for name in names if name not in whole]
    covered = zip(partial, store.count_covered(partial, rows), strict=True)
    lacking = {name: n for name, n in covered if n < len(rows)}
    short = [f"{name} {n}" for name, n in lacking.items()]
    if not short:
        return list(names), ()
    shown = list_some(short)
    if len(short) == len(names):
        raise StoreError(
            f"no member covers the {len(rows)} utterances of {on}; of them {shown}: expected one that covers all; "
            "choose another `on` or `split`, name a member alone to evaluate it on what it covers, or make the missing "
            "ones with `extract()`"
        )
    left = f"{len(short)} of {len(names)} members left out, since they do not cover the {len(rows)} utterances of {on}"
    return [name for name in names if name not in lacking], (f"{left}: {shown} of them",)
