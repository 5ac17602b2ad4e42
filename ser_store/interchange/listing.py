"""``ls`` and ``rm``: which members a store has, and away with one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_store.common.display import Block, Result, Table, format_bytes
from ser_store.errors import StoreError
from ser_store.training.distributed.lock import refuse_training
from ser_store_h5.findings import FileProblem
from ser_store_h5.member import MemberInfo
from ser_store_h5.names import parse_member
from ser_store_h5.store import Store, StoreLike, open_store


@dataclass(frozen=True, repr=False)
class Listing(Result):
    """The members of a store.

    Attributes:
        store: its folder or file.
        members: all that can be read, by run and step.
        backbones: of each run whose record can be read.
        problems: what is wrong with the rest.
    """

    store: Path
    members: tuple[MemberInfo, ...]
    backbones: dict[str, str]
    problems: tuple[FileProblem, ...] = ()

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each member; ``hidden`` and ``classes`` are the widths of its representations and logits.

        ``layers`` are the numbers of the backbone's layers, where several were kept.
        """
        return [
            {
                **self._identify(one),
                "hidden": None if one.pooled is None else one.pooled[1],
                "layers": list(one.layers),
                "classes": None if one.logits is None else one.logits[1],
                "bytes": one.bytes,
            }
            for one in self.members
        ]

    def list_cautions(self) -> tuple[str, ...]:
        """Return what is damaged, and therefore left out: a line for each file."""
        return tuple(f"{problem.file}: {problem.problem}" for problem in self.problems)

    def _identify(self, one: MemberInfo) -> dict[str, Any]:
        backbone = self.backbones.get(one.run)
        return {"member": one.name, "run": one.run, "step": one.step, "backbone": backbone, "n": one.n}

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore ls`` prints."""
        if not self.members:
            yield f"{self.store} has no members {'that can be read' if self.problems else 'yet'}"
            return
        rows = [
            [
                one.name,
                self.backbones.get(one.run, "–"),
                one.n,
                f"{len(one.layers)} × " * (len(one.layers) > 1) + _format_shape(one.pooled),
                _format_shape(one.logits) if one.logits or not one.can_vote else "classes alone",
                format_bytes(one.bytes),
            ]
            for one in self.members
        ]
        yield Table(["member", "backbone", "n", "pooled", "logits", "size"], rows)

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore ls --json``."""
        members = [
            {
                **self._identify(one),
                "pooled": one.pooled,
                "layers": list(one.layers),
                "logits": one.logits,
                "bytes": one.bytes,
            }
            for one in self.members
        ]
        return {"members": members, "problems": [vars(problem) for problem in self.problems]}


def _format_shape(shape: tuple[int, int] | None) -> str:
    return "–" if shape is None else f"{shape[0]} × {shape[1]}"


def ls(store: StoreLike) -> Listing:
    """List the members of a store: what each run said at each cached step.

    Damage to one does not hide the others: it is among the ``problems``.

    >>> import ser_store as ss
    >>> ss.ls(ss.open_example()).to_frame()["member"].to_list()[:2]
    ['hubert-base@900', 'hubert-xlarge@600']
    """
    store = open_store(store)
    survey = store.survey()
    backbones = {run: record.backbone for run, record in survey.records.items()}
    return Listing(store.path, survey.members, backbones, survey.problems)


@dataclass(frozen=True, repr=False)
class Removed(Result):
    """What was removed.

    Attributes:
        name: the member or run, as it was named.
        members: names of the members.
        checkpoints: a folder with checkpoints of the run that lies outside the store, and was left; None if there is
            none.
    """

    name: str
    members: tuple[str, ...]
    checkpoints: Path | None = None

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore rm`` prints."""
        yield f"removed {', '.join(self.members) or self.name}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each member that was removed."""
        return [{"member": name} for name in self.members]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore rm --json``."""
        return {"removed": list(self.members)}


def rm(store: StoreLike, name: str) -> Removed:
    """Remove a member, ``run@step``, or a run with all its members, curves and checkpoints.

    Raises:
        UnknownNameError: if there is no such member or run.
        StoreError: if the run is being trained, or the store is a packed file.

    >>> import ser_store as ss
    >>> store = ss.Store.create("my.store", ids=["a", "b"], labels=["happy", "sad"])
    >>> store.add("mine", ids=["a", "b"], predicted=["happy", "happy"])
    'mine@0'
    >>> ss.rm(store, "mine").members
    ('mine@0',)
    """
    store = open_store(store)
    run, step = parse_member(name)
    left = None
    if store.has_run(run):
        refuse_training(store.run_folder(run))
        left = _find_checkpoints_outside(store, run) if step is None else None
    return Removed(name, tuple(store.remove(name)), left)


def _find_checkpoints_outside(store: Store, run: str) -> Path | None:
    """The folder that the checkpoints of a run are in, where that is not the run's own, as far as its record tells."""
    try:
        stated_place = store.run(run).details.get("checkpoints")
    except StoreError:  # a damaged run can be removed, too
        return None
    if not stated_place or not any(Path(stated_place).glob("checkpoint-*")):
        return None
    place = Path(stated_place).resolve()
    return None if place.is_relative_to(store.run_folder(run).resolve()) else place
