"""Which members and which part of the split a question is about, where it does not name them all."""

from collections.abc import Sequence

from ser_store.errors import StoreError, UnknownNameError, describe_unknown
from ser_store_h5.corpus import Corpus
from ser_store_h5.names import format_member
from ser_store_h5.store import Store


def name_part(corpus: Corpus, on: str | None, split: str | None = None) -> str:
    """The part meant by ``on``: itself; where None, ``test`` if the split has it, else ``all``."""
    if on is not None:
        return on
    return "test" if corpus.splits and "test" in corpus.part_names(split) else "all"


def choose_members(store: Store, members: Sequence[str] = (), *, steps: str = "selected") -> list[str]:
    """Full names of the members meant: those named; else of every run its selected step, or all its steps.

    A run named without a step stands for its selected step, or with ``steps="all"`` for all of them. Members that
    hold no predictions are left out unless they are named.

    Raises:
        StoreError: if the store has no member that predicts anything, or one is named twice.
        UnknownNameError: if there is no such member.
    """
    if steps not in ("selected", "all"):
        raise UnknownNameError(describe_unknown("choice of steps", steps, ["selected", "all"]))
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
        return chosen
    for run in store.runs():
        if not store.steps(run):
            continue
        names = store.member_names(run) if steps == "all" else [format_member(run, store.selected_step(run))]
        chosen += [name for name in names if store.describe_member(name).can_vote]
    if not chosen:
        raise StoreError(
            f"{store.path} has no member that predicts anything: make one with `serstore finetune`, `serstore head` or "
            "`serstore import`"
        )
    return chosen
