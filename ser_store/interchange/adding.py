"""Imported members into a store: all of a file, or nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ser_store.common.display import Block, Result, format_count
from ser_store.errors import ExistsError, SerstoreError, StoreError
from ser_store.evaluation.score_kinds import find_kind
from ser_store_h5.corpus import Corpus
from ser_store_h5.disk.atomic import remove_folder
from ser_store_h5.fitted import KEY
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@dataclass(frozen=True, repr=False)
class Imported(Result):
    """What an import added, and how it read the file.

    Attributes:
        store: the store's folder.
        members: names of the new members.
        n: utterances in the file.
        created: whether the store was made by this import.
        identical: names of the members that were there already, with the same numbers.
        scores: the kind of numbers that is stored of each run, as its record says; none of those known by labels.
        ignored: columns that were left aside.
        unlabelled: classes of a new store that no utterance is labelled with.
        understood: one line for each thing that could have been meant otherwise.
    """

    store: Path
    members: tuple[str, ...] = ()
    n: int = 0
    created: bool = False
    identical: tuple[str, ...] = ()
    scores: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    understood: tuple[str, ...] = ()

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore import`` prints."""
        said = f"imported {format_count(len(self.members), 'member')} on {format_count(self.n, 'utterance')}"
        said += f": {', '.join(self.members)}" if self.members else ""
        said += f"; {format_count(len(self.identical), 'member')} there already, the same" if self.identical else ""
        yield said
        if self.created:
            yield f"made {self.store}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each member of the file: ``member``, and whether it is ``new``."""
        return [{"member": name, "new": name in self.members} for name in (*self.members, *self.identical)]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore import --json``."""
        return {
            "store": str(self.store),
            "created": self.created,
            "n": self.n,
            "members": list(self.members),
            "identical": list(self.identical),
            "scores": self.scores,
            "understood": list(self.understood),
        }


def add_members(store: Store, members: Sequence[Member], details: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Add the members that are not there, and return the names of those that are, with the same numbers.

    Args:
        details: what the record of each run says, for a run that is not there.

    Raises:
        ExistsError: if a member is there with other numbers.
        StoreError: if a run is there that states something else. Whatever is raised, nothing was added.
    """
    there = [member for member in members if store.has_run(member.run) and member.step in store.steps(member.run)]
    other = [member.name for member in there if not _is_same(store.read_member(member.name), member)]
    if other:
        raise ExistsError(
            f"{other[0]} is in {store.path} already, with other numbers ({len(other)} of {len(members)} are): nothing "
            "was imported; rename it, or remove the old one with `rm()`"
        )
    for run, own in details.items():
        _check_run(store, run, own)
        _check_widths(store, run, members)
    same = {member.name for member in there}
    begun: list[str] = []  # what is being added may be there before the call that adds it returns
    try:
        for member in members:
            if member.name in same:
                continue
            if not store.has_run(member.run):
                begun.append(member.run)
                store.add_run(
                    RunRecord(run=member.run, kind="import", backbone=member.run, details=details[member.run])
                )
            begun.append(member.name)
            store.write_member(member)
    except BaseException as problem:  # a full disk or Ctrl-C: all of the file is imported, or nothing
        for name in reversed(begun[:-1] if isinstance(problem, ExistsError) else begun):
            with suppress(SerstoreError):
                store.remove(name)
        raise
    return tuple(member.name for member in there)


def _is_same(old: Member, new: Member) -> bool:
    """Whether all that the new one holds is in the old one."""
    held = old.arrays
    return all(name in held and np.array_equal(held[name], array) for name, array in new.arrays.items())


def _check_run(store: Store, run: str, details: Mapping[str, Any]) -> None:
    """Refuse what is not as the run, which is there, says: the kind of its numbers, and what it was trained on."""
    if not store.has_run(run):
        return
    if KEY in details and store.run(run).details.get(KEY) != details[KEY]:
        raise StoreError(
            f"run {run} in {store.path} states otherwise what it was trained on, or does not state it: expected the "
            "same in all steps of a run; give the new one another name"
        )
    if "scores" not in details:
        return
    held, kind = find_kind(store, run), details["scores"]
    if (held == "scores") != (kind == "scores"):
        raise StoreError(
            f"run {run} in {store.path} holds {held}, and these numbers are {kind}: expected one kind in a run; give "
            f"the new one another name, or say `kind` {held}"
        )


def _check_widths(store: Store, run: str, members: Sequence[Member]) -> None:
    """Refuse representations of another width than those of the run's other steps."""
    held = [store.describe_member(name) for name in (store.member_names(run) if store.has_run(run) else ())]
    widths = {one.name: one.pooled[1] for one in held if one.pooled is not None}
    widths |= {one.name: one.pooled.shape[1] for one in members if one.run == run and one.pooled is not None}
    first = next(iter(widths), "")
    for name, width in widths.items():
        if width != widths[first]:
            raise StoreError(
                f"{name} has {width} numbers for each utterance, and {first} {widths[first]}: expected the same in all "
                "steps of a run; give the new one another name"
            )


def create_with_members(
    store: Path, corpus: Corpus, members: Sequence[Member], details: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """Create a store with these members; where that fails, there is none."""
    is_refused = True
    try:
        created = Store.create(store, corpus)
        is_refused = False
        return add_members(created, members, details)
    except BaseException as problem:
        # An interrupt may come when the store is there and has not been returned yet.
        if (not is_refused or not isinstance(problem, SerstoreError)) and (store / "corpus.h5").exists():
            remove_folder(store.resolve())
        raise
