"""Which members and which part of the split a question is about, where it does not name them all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice
from ser_store.errors import EnsembleError, StoreError
from ser_store_h5.corpus import Corpus
from ser_store_h5.names import PLUS, Ensemble, format_member
from ser_store_h5.store import Store

# Which steps are meant of a run that is named without one, or not at all.
Steps = Literal["selected", "all"]
# Members that one line names before it only counts them.
_NAMED = 3


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
    """Return the part meant by ``on``: itself; where None, ``test`` if the split has it, else ``all``."""
    if on is not None:
        return on
    return "test" if corpus.splits and "test" in corpus.part_names(split) else "all"


def choose_members(
    store: Store,
    members: Sequence[str] = (),
    *,
    steps: Steps = "selected",
    leave_out: Callable[[str], bool] = lambda _: False,
) -> list[str]:
    """Return full names of the members meant: those named; else of every run its selected step, or all its steps.

    A run named without a step means its selected step, or with ``steps="all"`` for all of them. Members that
    hold no predictions are left out unless they are named.

    Args:
        store: the store.
        members: names; none for every run.
        steps: ``selected`` or ``all``.
        leave_out: is asked of runs and of full names. Of what it leaves out nothing is read, since it may be damaged.

    Raises:
        StoreError: if the store has no member that predicts anything, or one is named twice.
        UnknownNameError: if there is no such member.
    """
    check_choice("choice of steps", steps, get_args(Steps))
    chosen = []
    for name in members:
        run, step = store.resolve(name)
        if steps == "all" and "@" not in name:
            chosen += store.member_names(run)
        else:
            chosen.append(format_member(run, step))
    if members:
        twice = sorted({name for name in chosen if chosen.count(name) > 1})
        if twice:
            raise StoreError(f"{twice[0]} is named twice: expected every member once")
        return [name for name in chosen if not leave_out(name)]
    left_out = False
    for run in store.runs():
        if leave_out(run):
            left_out = True
        elif store.steps(run):
            names = store.member_names(run) if steps == "all" else [format_member(run, store.selected_step(run))]
            kept = [name for name in names if not leave_out(name)]
            left_out |= len(kept) < len(names)
            chosen += [name for name in kept if store.describe_member(name).can_vote]
    if not chosen and not left_out:
        raise StoreError(
            f"{store.path} has no member that predicts anything: make one with `serstore finetune`, `serstore head` or "
            "`serstore import`"
        )
    return chosen


def list_readable(store: Store) -> tuple[list[str], tuple[str, ...]]:
    """Return the selected step of every run that can be read, and a line that names the rest, if there is one.

    For questions that do without a run that is damaged, as those about all runs.

    Raises:
        StoreError: if the corpus, or the list of the runs, cannot be read.
    """
    survey = store.survey()
    selected = [format_member(run, store.selected_step(run)) for run in survey.records if store.steps(run)]
    whole = {member.name for member in survey.members}
    broken = [run for run in store.runs() if run not in survey.records]
    broken += [name for name in selected if name not in whole]
    return [name for name in selected if name in whole], describe_unreadable(broken)


def describe_unreadable(names: Sequence[str]) -> tuple[str, ...]:
    """Return the line for what a question about all runs does without; none where everything can be read."""
    return (f"left out, since it cannot be read (`serstore ls` says why): {', '.join(names)}",) if names else ()


def choose_covering(
    store: Store, members: Sequence[str], rows: NDArray[np.int32], *, on: str, steps: Steps = "selected"
) -> Chosen:
    """Return the members meant by a question about ``rows``, and those of ``rows`` that they cover.

    Where none are named, those that do not cover all rows are left out, in words. A single one is judged on what it
    covers. Several that are named stand as they are: what reads them refuses those that do not cover all.

    Args:
        store: the store.
        members: names, of ensembles too; none for the selected or all steps of every run, by ``steps``.
        rows: ``(m,)`` int32, indices of the utterances asked for.
        on: what they are called.
        steps: ``selected`` or ``all``.

    Raises:
        StoreError: if no member covers the rows, or the single one none of them.
        UnknownNameError: if there is no such member.
    """
    names = _choose_with_ensembles(store, members, steps=steps)
    if len(names) == 1:
        return _choose_alone(store, names[0], rows, on=on)
    if members:
        return Chosen(names, rows)
    kept, left_out = keep_covering(store, names, rows, on=on)
    return Chosen(kept, rows, left_out)


def _choose_with_ensembles(store: Store, members: Sequence[str], *, steps: Steps) -> list[str]:
    if not any(PLUS in name for name in members):
        return choose_members(store, members, steps=steps)
    chosen: list[str] = []
    for name in members:
        if PLUS in name:
            chosen.append(str(Ensemble(resolve_ensemble(store, name))))
        else:
            chosen += choose_members(store, [name], steps=steps)
    twice = sorted({name for name in chosen if chosen.count(name) > 1})
    if twice:
        raise StoreError(f"{twice[0]} is named twice: expected every member or ensemble once")
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
    return choose_members(store, members)


def _choose_alone(store: Store, name: str, rows: NDArray[np.int32], *, on: str) -> Chosen:
    covers = np.all([np.isin(rows, store.covered(member)) for member in name.split(PLUS)], axis=0)
    n = int(covers.sum())
    if n == len(rows):
        return Chosen([name], rows)
    if not n:
        raise StoreError(
            f"{name} covers none of the {len(rows)} utterances of {on}: expected some; choose another --on or --split, "
            "or run `serstore extract`"
        )
    text = f"{name} covers {n} of the {len(rows)} utterances of {on}: its figures are of these {n} alone"
    return Chosen([name], rows[covers], (text,))


def keep_covering(
    store: Store, names: Sequence[str], rows: NDArray[np.int32], *, on: str
) -> tuple[list[str], tuple[str, ...]]:
    """Return those of ``names`` that cover all ``rows``, and a line for the rest, if there is one.

    For questions that name no members: a store may hold several splits, and members that were made by them.

    Args:
        store: the store.
        names: full names.
        rows: ``(m,)`` indices of the utterances asked for.
        on: what they are called.

    Raises:
        StoreError: if no member covers them all.
    """
    covered = store.count_covered(names, rows)
    short = [f"{name} {n}" for name, n in zip(names, covered, strict=True) if n < len(rows)]
    if not short:
        return list(names), ()
    shown = ", ".join(short[:_NAMED]) + (f" and {len(short) - _NAMED} more" if len(short) > _NAMED else "")
    if len(short) == len(names):
        raise StoreError(
            f"no member covers the {len(rows)} utterances of {on}; of them {shown}: expected one that covers all; "
            "choose another --on or --split, name a member alone to evaluate it on what it covers, or run "
            "`serstore extract`"
        )
    left = f"{len(short)} of {len(names)} members left out, since they do not cover the {len(rows)} utterances of {on}"
    return [name for name, n in zip(names, covered, strict=True) if n == len(rows)], (f"{left}: {shown} of them",)
