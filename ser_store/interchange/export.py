"""Members as tables and arrays that other programs read."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ser_store.common.checks import check_choice
from ser_store.common.display import Block, Result, format_count
from ser_store.errors import StoreError
from ser_store.evaluation.choice.covering import keep_covering
from ser_store.evaluation.choice.ensemble_names import EnsembleRule, VotingRule, describe_fits
from ser_store.evaluation.choice.exclusion import Exclusion, are_named
from ser_store.evaluation.choice.member_choice import (
    Steps,
    choose_members,
    list_readable,
    name_ensembles,
    name_part,
)
from ser_store.evaluation.folds import refuse_single_folds
from ser_store.evaluation.leakage import caution_leakage
from ser_store.interchange.export_files import PREPARE, ExportRequest
from ser_store.voting.checks import Tie
from ser_store_h5.disk.atomic import write_atomically
from ser_store_h5.member import MemberInfo
from ser_store_h5.names import PLUS, list_names
from ser_store_h5.store import Store, StoreLike, open_store

What = Literal["predicted", "logits", "pooled", "utterances", "everything"]
_HOLDS = {
    ".csv": ("predicted", "logits", "utterances"),
    ".parquet": ("predicted", "logits", "utterances"),
    ".npz": ("predicted", "logits", "pooled"),
    ".h5ad": ("everything", "predicted", "logits", "pooled"),
}
_ANSWERS = ("predicted", "utterances")


@dataclass(frozen=True, repr=False)
class Exported(Result):
    """What was written.

    Attributes:
        path: the file.
        what: its content: ``predicted``, ``logits``, ``pooled`` or ``everything``.
        members: how many members it holds.
        n: of how many utterances.
        cautions: why figures of it may mislead, a line each.
    """

    path: Path
    what: str
    members: int
    n: int
    cautions: tuple[str, ...] = ()

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore export`` prints."""
        covered = f"{format_count(self.members, 'member')} on {format_count(self.n, 'utterance')}"
        yield f"wrote {self.what} of {covered} to {self.path}"

    def records(self) -> list[dict[str, Any]]:
        """Return one row: ``file``, ``what``, ``members`` and ``n``."""
        return [{"file": str(self.path), "what": self.what, "members": self.members, "n": self.n}]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore export --json``."""
        return {**self.records()[0], "cautions": list(self.cautions)}


def export(
    store: StoreLike,
    path: str | os.PathLike[str],
    members: str | Sequence[str] = (),
    *,
    what: What | None = None,
    layer: int | None = None,
    on: str | None = None,
    split: str | None = None,
    steps: Steps = "selected",
    rule: EnsembleRule = "hard",
    tie: Tie = "lowest",
    exclude: str | Sequence[str] = (),
) -> Exported:
    """Write members to a CSV, Parquet, NPZ or h5ad file.

    CSV and Parquet of predicted classes and of logits can be imported again, bit for bit.

    Args:
        path: a new file; its suffix says the type.
        members: members, ensembles such as ``a@1+b@2+c@3``, whose votes are written, or patterns such as ``hubert-*``.
            Default: of every run its selected step, or with ``steps="all"`` all, where they hold ``what``.
        what: ``predicted`` (default): a wide table with ``utterance``, ``label`` and one column of class names for
            each member, or where one left out an answer, a long one with ``run``, ``step`` and ``predicted``, empty
            there; ``logits``: a long table with ``utterance``, ``run``, ``step``, ``label`` and one column for each
            class, and before these, where it would be read otherwise, ``scores``, which says what the numbers are;
            ``utterances``: a long table to read, that of :func:`ser_store.predictions`: path, speaker, part, label,
            prediction, whether it is right, and probabilities, of ensembles too; ``pooled``: NPZ and h5ad only. NPZ
            files hold ``ids``, ``labels`` (indices into ``classes``), ``classes`` and one array for each member, in
            which -1 is an answer that is no class. For h5ad files see
            :mod:`ser_store.interchange.export_files`; they hold ``everything`` by default.
        layer: number of the layer whose representations are written. Default: the last that was kept.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        rule: how ensembles vote: ``hard``, ``soft`` or ``soft-log``; or by weights that are fitted without the speaker
            that they score, as :func:`ser_store.vote` has them: ``pool``, ``stack`` or ``greedy-pool``.
        tie: how their hard votes break ties: ``lowest``, ``confidence``, ``best`` or ``abstain``.
        exclude: members, runs or patterns such as ``hubert-*`` that are left out.

    Raises:
        ExistsError: if the file is there.
        StoreError: if a member covers not all utterances, or lacks what is asked for.
        MissingExtraError: for h5ad without the package anndata.

    >>> import ser_store as ss
    >>> ss.export(ss.open_example(), "members.csv").members
    6
    """
    store = open_store(store)
    path = Path(path)
    members = list_names(members)
    content = check_type(path, what if layer is None else what or "pooled")
    if layer is not None and content != "pooled":
        raise StoreError(f"`layer` is {layer} and `what` is {content}: expected pooled, which layers are of")
    on = name_part(store.corpus, on, split)
    rows = store.corpus.rows(on, split=split)
    voting = VotingRule(rule, tie, split)
    names, left_out = choose_exported(
        store, members, what=content, steps=steps, is_excluded=Exclusion(list_names(exclude))
    )
    if are_named(members):
        refuse_single_folds(store, names, rows)
    else:
        names, short = keep_covering(store, names, rows, on=on)
        left_out = (*left_out, *short)
    check_ensembles(path, names, content)
    fits = describe_fits(store.corpus, names, rows, on=on, rule=voting)
    cautions = (*left_out, *fits, *caution_leakage(store, [one for name in names for one in name.split(PLUS)], rows))
    request = ExportRequest(store, tuple(names), rows, content, on, split, cautions, layer, voting)
    write = PREPARE[path.suffix.lower()](request)

    def write_flushed(temporary: Path) -> None:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())

    write_atomically(path, write_flushed)
    return Exported(path, content, len(names), len(rows), cautions)


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
    check_choice("content", what, get_args(What))
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
        meant = name_ensembles(store, members, steps=steps, holds=lambda member: _holds(member, what))
        names = [name for name in meant if not is_excluded(name)]
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
