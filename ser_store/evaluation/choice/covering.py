"""Which of the members meant cover the utterances that a question is about, and what is said of the others."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import StoreError, list_some
from ser_store.evaluation.choice.exclusion import Exclusion, are_named
from ser_store.evaluation.choice.member_choice import Steps, list_voting, name_ensembles
from ser_store.evaluation.folds import refuse_single_folds
from ser_store_h5.names import PLUS
from ser_store_h5.store import Store


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

    Where none are named, or patterns, those that do not cover all rows are left out, and a caution says so. A single
    one is judged on what it covers. Of several names none is left out: reading one that does not cover all is refused.

    Args:
        members: names, of ensembles too, and patterns; none for the selected or all steps of every run, by ``steps``.
        rows: ``(m,)`` int32, indices of the utterances asked for.
        on: what they are called.
        steps: ``selected`` or ``all``.
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
        found, unread = list_voting(store, steps, is_excluded)
        names = [member.name for member in found]
        whole = frozenset(member.name for member in found if member.n == len(store.header))
    is_excluded.check(names)
    if len(names) == 1:
        alone = _choose_alone(store, names[0], rows, on=on)
        return replace(alone, cautions=(*unread, *alone.cautions))
    if are_named(members):
        refuse_single_folds(store, names, rows)
        return Chosen(names, rows)
    kept, left_out = keep_covering(store, names, rows, on=on, whole=whole)
    return Chosen(kept, rows, (*unread, *left_out))


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
        names: full names; of ensembles, which are named and so not left out, nothing is asked.
        rows: ``(m,)`` indices of the utterances asked for.
        on: what they are called.
        whole: those of ``names`` that are known to cover the whole corpus; their files are not opened again.

    Raises:
        StoreError: if no member covers them all.
    """
    partial = [name for name in names if name not in whole and PLUS not in name]
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
