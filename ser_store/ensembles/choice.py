"""Which members are candidates, and which options left others out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.options import Limits
from ser_store.errors import EnsembleError, StoreError, UnknownNameError, list_some
from ser_store.evaluation.choice.covering import keep_covering
from ser_store.evaluation.choice.exclusion import Exclusion, are_named, describe_nobody, matches, name_run
from ser_store.evaluation.choice.member_choice import Steps, choose_members
from ser_store.evaluation.choice.saved_ensembles import find_copies, is_unnamed_ensemble
from ser_store.evaluation.folds import refuse_single_folds
from ser_store_h5.names import format_member
from ser_store_h5.store import Store


@dataclass(frozen=True)
class Cut:
    """One reason why there are fewer candidates than before, and how to have more."""

    cause: str
    before: int
    after: int
    way_out: str

    def __str__(self) -> str:
        return f"{self.cause} left {self.after} of {self.before}"


@dataclass(frozen=True, eq=False)
class CandidateChoice:
    """The names of the candidates, and why others are not among them.

    Attributes:
        store: where they are.
        names: full names; those that were named in the order named, all others by name.
        unread: a line for what cannot be read, if there is such.
        left_out: that line, and one for those that do not cover the utterances of a part.
        members: as they were named.
        steps: ``selected`` or ``all``.
        exclude: patterns.
        excluded: runs and members that these mean.
        unexcluded: those that these leave.
        uncovered: what they cover, where that left fewer.
    """

    store: Store
    names: list[str]
    unread: tuple[str, ...]
    left_out: tuple[str, ...]
    members: Sequence[str]
    steps: str
    exclude: Sequence[str]
    excluded: Sequence[str]
    unexcluded: Sequence[str]
    uncovered: Sequence[Cut]

    def list_cuts(self) -> list[Cut]:
        """Return the reasons why these candidates are fewer than all members."""
        n_excluded, n_left = self._count_excluded(), len(self.unexcluded)
        patterns = " ".join(f"`exclude` {pattern}" for pattern in self.exclude)
        cuts = [
            Cut("`steps` selected", self._count_steps() + n_excluded, n_left + n_excluded, "take `steps` all"),
            Cut(patterns, n_left + n_excluded, n_left, "exclude fewer"),
            *self.uncovered,
        ]
        return [cut for cut in cuts if cut.before > cut.after]

    def _count_excluded(self) -> int:
        """Count the members that were excluded; one that cannot be read counts as well."""
        n = 0
        for name in self.excluded:
            try:
                run, step = self.store.resolve(name)
                steps = self.store.steps(run) if "@" not in name and self.steps == "all" else [step]
                n += sum(self.store.describe_member(format_member(run, one)).can_vote for one in steps)
            except StoreError:
                n += 1
        return n

    def _count_steps(self) -> int:
        """Count the members that are left, with the other steps of runs that were not named with a step."""
        if self.steps == "all":
            return len(self.unexcluded)
        runs = {name_run(name) for name in self.unexcluded if name not in self.members}
        n_named = sum(name in self.members for name in self.unexcluded)
        return n_named + sum(len(self.store.steps(run)) for run in runs)


def choose_candidates(
    store: Store,
    members: Sequence[str],
    parts: Mapping[str, NDArray[np.int32]],
    *,
    steps: Steps,
    limits: Limits,
) -> CandidateChoice:
    """Return the candidates: those named, or those of patterns and of all runs that cover the utterances of every part.

    Of these a member of which there is a calibrated one is left out: one model would have two votes.

    Args:
        store: the store.
        members: names, or patterns; none for every run.
        parts: the rows of each part, by its name.
        steps: ``selected`` or ``all``.
        limits: ``include``, patterns each of which must mean a candidate; and ``exclude``, of members that are none.
            Of these nothing is read, since it may be damaged.

    Raises:
        EnsembleError: if nobody is left, or nobody of those to include.
        StoreError: if no member predicts anything, or covers the parts; or one is named twice.
        UnknownNameError: if there is no such member, or a pattern means nobody.
    """
    include, exclude = limits.include, limits.exclude
    is_excluded = Exclusion(exclude)
    excluded = is_excluded.names

    def is_left_out(name: str) -> bool:
        return is_excluded(name) or is_unnamed_ensemble(store, name, members)

    unexcluded, unread = choose_members(store, members, steps=steps, leave_out=is_left_out)
    names = unexcluded if members else sorted(unexcluded)
    is_excluded.check_patterns(names, kind="candidate")
    if not names:
        if not exclude:
            raise EnsembleError(
                f"{', '.join(members)}: saved ensembles alone, whose members vote: expected other members; name an "
                "ensemble to have it vote as one"
            )
        raise EnsembleError("; ".join(["`exclude` leaves no candidate: expected at least one; exclude fewer", *unread]))
    uncovered: list[Cut] = []
    left_out = unread
    for on, rows in parts.items():
        if are_named(members):
            refuse_single_folds(store, names, rows)
            continue
        before = len(names)
        names, line = keep_covering(store, names, rows, on=on)
        left_out = (*left_out, *line)
        if line:
            uncovered.append(Cut(f"what they cover of {on}", before, len(names), "choose another `on`"))
    before, copies = len(names), find_copies(store, names)
    if copies and are_named(members):
        pairs = list_some([" and ".join(pair) for pair in copies.items()])
        left_out = (
            *left_out,
            f"one model has several votes, as it is and calibrated: {pairs}; `exclude` leaves one out",
        )
    elif copies:
        names = [name for name in names if name not in copies]
        left_out = (*left_out, f"left out, since they vote as calibrated: {list_some(list(copies))}")
        uncovered.append(Cut("one vote for what is calibrated", before, len(names), "name the members"))
    choice = CandidateChoice(store, names, unread, left_out, members, steps, exclude, excluded, unexcluded, uncovered)
    for pattern in include:
        if any(matches(name, pattern) for name in names):
            continue
        if not any(matches(name, pattern) for name in (*unexcluded, *excluded)):
            raise UnknownNameError(describe_nobody("include", pattern, names, kind="candidate"))
        cuts = "; ".join(map(str, choice.list_cuts()))
        raise EnsembleError(f"`include` {pattern} means nobody who is left: {cuts}; expected a candidate")
    return choice
