"""What records say of saved ensembles, of how they were chosen, and of members that are calibrated ones of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ser_store.errors import SerstoreError
from ser_store_h5.names import format_member, parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

TEMPERATURE = "temperature"
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


def is_unnamed_ensemble(store: Store, name: str, members: Sequence[str]) -> bool:
    """Return whether a run, or a member, is a saved ensemble that ``members`` do not name, so that its members vote.

    One that cannot be read is none.
    """
    try:
        run = parse_member(name)[0]
        return not {name, run} & set(members) and store.run(run).kind == KIND
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


def find_copies(store: Store, names: Sequence[str]) -> dict[str, str]:
    """Return those of the full ``names`` that are one model with another, a calibrated one, and that.

    Raises:
        StoreError: if a run cannot be read.
    """
    models: dict[str, list[str]] = {}
    for name in names:
        models.setdefault(_name_source(store, name) or name, []).append(name)
    kept = {name: next((one for one in own if one != model), name) for model, own in models.items() for name in own}
    return {name: one for name, one in kept.items() if name != one}


def _name_source(store: Store, name: str) -> str | None:
    """Return the member that a calibrated one is made of; None of any other."""
    run, step = store.resolve(name)
    record = store.run(run)
    is_calibrated = record.kind == "head" and record.details.get("head") == TEMPERATURE
    return format_member(parse_member(str(record.details.get("source")))[0], step) if is_calibrated else None
