"""Which members and which part of the split a question is about, where it does not name them."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from ser_store.common.checks import check_choice
from ser_store.errors import EnsembleError, SerstoreError, StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation.choice.exclusion import is_pattern, matches
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import MemberInfo
from ser_store_h5.names import PLUS, Ensemble, format_member
from ser_store_h5.store import Store

# Which steps are meant of a run that is named without one, or not at all.
Steps = Literal["selected", "all"]


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
        members: names, or patterns such as ``hubert-*``; none for every run.
        steps: ``selected`` or ``all``.
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
    found, left_out = list_voting(store, steps, leave_out)
    return [member.name for member in found], left_out


def list_voting(
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


def resolve_members(
    store: Store,
    members: Sequence[str],
    *,
    steps: Steps = "selected",
    holds: Callable[[MemberInfo], bool] = lambda member: member.can_vote,
) -> list[str]:
    """Return the full names of the members that are named, or fit patterns and hold what is asked for.

    A pattern without a step means the selected or all steps of runs, by ``steps``; one such as ``*@100`` all it fits.

    Raises:
        StoreError: if one is named twice.
        UnknownNameError: if there is no such member.

    >>> import ser_store as ss
    >>> resolve_members(ss.open_example(), ["xlsr53", "unispeech-*", "hubert-*@[1-8]00"])
    ['xlsr53@1100', 'unispeech-large@700', 'unispeech-ml@600', 'hubert-xlarge@600']
    """
    check_choice("choice of steps", steps, get_args(Steps))
    chosen: list[str] = []
    for name in members:
        if is_pattern(name):
            chosen += _list_fitting(store, name, steps=steps, holds=holds)
            continue
        run, step = store.resolve(name)
        chosen += store.member_names(run) if steps == "all" and "@" not in name else [format_member(run, step)]
    return _take_once(chosen, members, "member")


def _list_fitting(store: Store, pattern: str, *, steps: Steps, holds: Callable[[MemberInfo], bool]) -> list[str]:
    def is_other(name: str) -> bool:
        return "@" in name and not matches(name, pattern)

    found, _ = list_readable(store, steps="all" if "@" in pattern else steps, holds=holds, leave_out=is_other)
    if not found:
        raise UnknownNameError(describe_unknown("member", pattern, store.member_names(), way_out="`ls()` lists them"))
    return [one.name for one in found]


def _take_once(chosen: Sequence[str], asked: Sequence[str], kind: str) -> list[str]:
    """Return each once; what is named twice is refused, where no pattern may mean what is named."""
    once = list(dict.fromkeys(chosen))
    if len(once) < len(chosen) and not any(map(is_pattern, asked)):
        twice = min(name for name in once if chosen.count(name) > 1)
        raise StoreError(f"{twice} is named twice: expected every {kind} once")
    return once


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


def name_ensembles(
    store: Store,
    members: Sequence[str],
    *,
    steps: Steps = "selected",
    holds: Callable[[MemberInfo], bool] = lambda member: member.can_vote,
) -> list[str]:
    """Return the full names of the members and ensembles that are named, or meant by patterns.

    Raises:
        EnsembleError, StoreError, UnknownNameError: as :func:`resolve_members` and :func:`resolve_ensemble`.
    """
    chosen: list[str] = []
    for name in members:
        if PLUS in name:
            chosen.append(str(Ensemble(resolve_ensemble(store, name))))
        else:
            chosen += resolve_members(store, [name], steps=steps, holds=holds)
    return _take_once(chosen, members, "member or ensemble" if any(PLUS in name for name in members) else "member")


def resolve_ensemble(store: Store, name: str) -> list[str]:
    """Return full names of the members in ``name``: one, or several joined by plus signs, in the order named.

    Raises:
        UnknownNameError: if there is no such member.
        StoreError: if one is named twice, or its name breaks the rule of names.
        EnsembleError: if there is nothing before, between or after the plus signs, or a pattern.
    """
    members = name.split(PLUS)
    if is_pattern(name):
        raise EnsembleError(f"{name!r} is a pattern: expected a member, or an ensemble such as a@1+b@2+c@3")
    if "" in members:
        raise EnsembleError(
            f"{name!r} names no member at one side of a plus sign: expected an ensemble such as a@1+b@2+c@3"
        )
    return resolve_members(store, members)
