"""What the record of a saved ensemble says of its members, and of how it was chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ser_store.errors import SerstoreError
from ser_store_h5.names import parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

KIND, MEMBERS, CHOSEN, SWEPT = "ensemble", "members", "chosen", "swept"


@dataclass(frozen=True)
class Choice:
    """How an ensemble was chosen.

    Attributes:
        on: the part of the split that it was chosen on.
        split: the split; None where the corpus has none.
        among: from what, in words; empty where it was given weights alone.
        corrected: what is left of its figure, in words.
    """

    on: str
    split: str | None
    among: str
    corrected: str


def is_saved_ensemble(store: Store, name: str) -> bool:
    """Return whether a run, or the run of a member, is a saved ensemble; one that cannot be read is none."""
    try:
        return store.run(parse_member(name)[0]).kind == KIND
    except SerstoreError:
        return False


def list_members(record: RunRecord) -> list[str]:
    """Return the members of a saved ensemble; none for other runs."""
    members = record.details.get(MEMBERS) if record.kind == KIND else None
    return [one for one in members if isinstance(one, str)] if isinstance(members, list) else []


def read_choice(record: RunRecord) -> Choice | None:
    """Return how a saved ensemble, or a head of a sweep, was chosen; None where nothing was, and for other runs."""
    stated: Any = record.details.get(CHOSEN if record.kind == KIND else SWEPT)
    if not isinstance(stated, Mapping) or not isinstance(stated.get("on"), str):
        return None
    what = "ensembles" if record.kind == KIND else "heads"
    split, number = stated.get("split"), stated.get(what)
    apparent, left = stated.get("apparent"), stated.get("corrected")
    corrected = "not corrected for that"
    if isinstance(apparent, float) and isinstance(left, float):
        name = "accuracy" if stated.get("objective") == "accuracy" else "balanced accuracy"
        corrected = f"{name} {apparent:.2%} there, corrected {left:.2%}"
    return Choice(
        on=stated["on"],
        split=split if isinstance(split, str) else None,
        among=f"{number:,} {what}" if isinstance(number, int) and number > 1 else "",
        corrected=corrected,
    )
