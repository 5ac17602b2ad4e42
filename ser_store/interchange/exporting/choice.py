"""What is to be exported: the content that a type of file can hold, and the members that have it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from ser_store.errors import StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation.choice.exclusion import Exclusion
from ser_store.evaluation.choice.member_choice import Steps, choose_members, list_readable, name_ensembles
from ser_store_h5.member import MemberInfo
from ser_store_h5.names import PLUS
from ser_store_h5.store import Store

What = Literal["predicted", "logits", "pooled", "utterances", "everything"]
_HOLDS = {
    ".csv": ("predicted", "logits", "utterances"),
    ".parquet": ("predicted", "logits", "utterances"),
    ".npz": ("predicted", "logits", "pooled"),
    ".h5ad": ("everything", "predicted", "logits", "pooled"),
}
_ANSWERS = ("predicted", "utterances")


def check_type(path: Path, what: str | None) -> str:
    """Return the content meant by ``what``, if the type of ``path`` can hold it.

    Raises:
        StoreError: if it cannot, naming those that can.
        UnknownNameError: if there is no such content.
    """
    suffix = path.suffix.lower()
    if suffix not in _HOLDS:
        raise StoreError(
            f"{path.name}: cannot be written as {suffix or 'a file without suffix'}: expected {', '.join(_HOLDS)}"
        )
    if what is None:
        return _HOLDS[suffix][0]
    if what not in get_args(What):
        raise UnknownNameError(describe_unknown("content", what, get_args(What)))
    if what not in _HOLDS[suffix]:
        able = ", ".join(other for other, contents in _HOLDS.items() if what in contents)
        raise StoreError(f"{path.name}: cannot hold {what} as {suffix}: expected {able}")
    return what


def _holds(member: MemberInfo, what: str) -> bool:
    wanted = {
        "predicted": member.can_vote,
        "utterances": member.can_vote,
        "logits": member.logits is not None,
        "pooled": member.pooled is not None,
    }
    return wanted.get(what, True)


def choose_exported(
    store: Store, members: Sequence[str], *, what: str, steps: Steps, is_excluded: Exclusion
) -> tuple[list[str], tuple[str, ...]]:
    """Return those named; else the selected or all steps of all runs that hold ``what``, and what is left out.

    Raises:
        StoreError: if a member that is named answers nothing, or no member holds ``what``.
    """
    if members:
        names = [name for name in name_ensembles(store, members, steps=steps) if not is_excluded(name)]
        is_excluded.check(names)
        if what in _ANSWERS:
            _refuse_unanswering(store, names)
        return names, ()
    if what in _ANSWERS:
        names, left_out = choose_members(store, steps=steps, leave_out=is_excluded)
        is_excluded.check(names)
        return names, left_out
    found, left_out = list_readable(
        store, steps=steps, holds=lambda member: _holds(member, what), leave_out=is_excluded
    )
    is_excluded.check([member.name for member in found])
    if not found:
        names = store.member_names()
        held = "there are no members yet" if not names else f"none of {', '.join(names[:5])} holds them"
        unread = "".join(f"; {line}" for line in left_out)
        raise StoreError(f"{store.path} has no {what} to export: {held}; `ls()` shows what there is{unread}")
    return [member.name for member in found], left_out


def _refuse_unanswering(store: Store, names: Sequence[str]) -> None:
    """Refuse a member that answers nothing; its representations can be written all the same."""
    mute = (one for name in names if PLUS not in name for one in [store.describe_member(name)] if not one.can_vote)
    for member in mute:
        raise StoreError(
            f"{member.name} has pooled representations only: expected logits or labels; `what` pooled writes them as "
            ".npz or .h5ad, `head()` fits a classifier on them"
        )


def check_ensembles(path: Path, names: Sequence[str], what: str) -> None:
    """Refuse ensembles where more than the classes that they decide for is to be written.

    Raises:
        StoreError: saying what they have.
    """
    ensembles = [name for name in names if PLUS in name]
    if ensembles and (what not in _ANSWERS or path.suffix.lower() == ".h5ad"):
        raise StoreError(
            f"{ensembles[0]} is an ensemble, which has predicted classes alone: expected `what` predicted in a file "
            "that ends in .csv, .parquet or .npz, or `what` utterances in .csv or .parquet"
        )
