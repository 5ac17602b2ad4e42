"""``find_hard_utterances``: the utterances that every member predicts wrongly, or all but one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Block, Result, Table, format_count
from ser_store.evaluation.choice.covering import choose_covering
from ser_store.evaluation.choice.ensemble_names import EnsembleRule, VotingRule, load_members
from ser_store.evaluation.choice.exclusion import choose_classes
from ser_store.evaluation.choice.member_choice import Steps, name_part
from ser_store.voting.checks import Tie
from ser_store_h5.names import list_names
from ser_store_h5.store import StoreLike, open_store

MAX_LINES = 12


@dataclass(frozen=True)
class HardUtterance:
    """One utterance that at most one member gets right.

    Attributes:
        utterance: its id.
        label: its true class.
        predicted: the members behind each class that was predicted, most predicted first.
        only: the member that gets it right, or None.
    """

    utterance: str
    label: str
    predicted: dict[str, tuple[str, ...]]
    only: str | None


@dataclass(frozen=True, repr=False)
class HardUtterances(Result):
    """The utterances that members find hard.

    Attributes:
        on: the part of the split.
        members: names of the members.
        all_wrong: utterances that none of them gets right.
        one_right: utterances that exactly one of them gets right.
        n_by_right: how many utterances 0, 1, … and all members get right; sums to all utterances.
    """

    on: str
    members: tuple[str, ...]
    all_wrong: tuple[HardUtterance, ...]
    one_right: tuple[HardUtterance, ...]
    n_by_right: tuple[int, ...]

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore evaluate --hard`` prints."""
        yield from _tabulate_hard(self)

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each utterance that at most one member predicts correctly; ``only`` is that member."""
        return [
            {"utterance": one.utterance, "label": one.label, "only": one.only}
            for one in (*self.all_wrong, *self.one_right)
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "on": self.on,
            "members": list(self.members),
            "n": sum(self.n_by_right),
            "n_by_right": list(self.n_by_right),
            "all_wrong": [vars(one) for one in self.all_wrong],
            "one_right": [vars(one) for one in self.one_right],
        }


def find_hard_utterances(
    store: StoreLike,
    members: str | Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    steps: Steps = "selected",
    rule: EnsembleRule = "hard",
    tie: Tie = "lowest",
    exclude: str | Sequence[str] = (),
    classes: Sequence[str] = (),
) -> HardUtterances:
    """Find the utterances that every member predicts wrongly, and those that only one predicts correctly.

    Args:
        store: a store, or its path.
        members: members, or ensembles such as ``a@1+b@2+c@3``, each of which counts as one. Default: every run's
            selected step, as far as it predicts anything.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        split: the split that ``on`` is a part of. Default: the store's default split.
        steps: ``selected``, or ``all`` steps of runs that are named alone or not at all.
        rule: how ensembles vote: ``hard``, ``soft`` or ``soft-log``; or by weights that are fitted without the speaker
            that they score, as :func:`ser_store.vote` has them: ``pool``, ``stack`` or ``greedy-pool``.
        tie: how their hard votes break ties: ``lowest``, ``confidence``, ``best`` or ``abstain``.
        exclude: members, runs or patterns such as ``hubert-*`` that are left out.
        classes: the utterances of these classes alone. Default: of all.

    Raises:
        StoreError: if a member covers not all utterances asked for, or predicts nothing.
        UnknownNameError: if there is no such member, part, split or rule.

    >>> import ser_store as ss
    >>> hard = ss.find_hard_utterances(ss.open_example())
    >>> sum(hard.n_by_right)
    288
    """
    store = open_store(store)
    corpus = store.corpus
    on = name_part(corpus, on, split)
    rows, _ = choose_classes(corpus, corpus.rows(on, split=split), classes)
    chosen = choose_covering(store, list_names(members), rows, on=on, steps=steps, exclude=list_names(exclude))
    names, rows = chosen.names, chosen.rows
    predicted = load_members(store, names, rows, rule=VotingRule(rule, tie, split))[0]
    right = predicted == corpus.labels[rows]
    n_right = np.count_nonzero(right, axis=0)

    def describe(place: int, only: str | None) -> HardUtterance:
        return HardUtterance(
            utterance=str(corpus.ids[rows[place]]),
            label=corpus.classes[corpus.labels[rows[place]]],
            predicted=_group_members(names, predicted[:, place], corpus.classes),
            only=only,
        )

    return HardUtterances(
        on=on,
        members=tuple(names),
        all_wrong=tuple(describe(place, None) for place in np.flatnonzero(n_right == 0).tolist()),
        one_right=tuple(
            describe(place, names[right[:, place].argmax()]) for place in np.flatnonzero(n_right == 1).tolist()
        ),
        n_by_right=tuple(np.bincount(n_right, minlength=len(names) + 1).tolist()),
    )


def _group_members(names: Sequence[str], said: NDArray[np.int16], classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the members behind each class, most members first, then by the order of the classes."""
    order = sorted(set(said.tolist()), key=lambda label: (-np.count_nonzero(said == label), label))
    return {
        classes[label] if label >= 0 else "(none)": tuple(
            name for name, own in zip(names, said, strict=True) if own == label
        )
        for label in order
    }


def _tabulate_hard(hard: HardUtterances) -> Iterator[Block]:
    n_members = len(hard.members)
    yield f"\nright for how many of {format_count(n_members, 'member')}"
    yield Table(["members", "utterances"], count_by_right(hard.n_by_right))
    if hard.all_wrong:
        yield f"\nwrong for all members: {len(hard.all_wrong)}"
        rows = [[one.utterance, one.label, _list_predicted(one)] for one in hard.all_wrong]
        yield Table(["utterance", "true", "predicted"], rows)
    if hard.one_right and n_members > 1:
        yield f"\nright for one member only: {len(hard.one_right)}"
        rows = [[one.utterance, one.label, one.only or "", _list_predicted(one)] for one in hard.one_right]
        yield Table(["utterance", "true", "right", "predicted"], rows)


def count_by_right(n_by_right: Sequence[int]) -> list[tuple[object, int]]:
    """Return how many utterances so many members get right; of many members in ranges, but 0, 1 and all by themselves.

    >>> count_by_right([4, 0, 3])
    [(0, 4), (2, 3)]
    """
    if len(n_by_right) <= MAX_LINES:
        return [(right, n) for right, n in enumerate(n_by_right) if n]
    last = len(n_by_right) - 1
    width = -(-(last - 2) // (MAX_LINES - 3))
    ranges = [(0, 0), (1, 1), *((low, min(low + width, last) - 1) for low in range(2, last, width)), (last, last)]
    counted = [(low, high, sum(n_by_right[low : high + 1])) for low, high in ranges]
    return [(str(low) if low == high else f"{low} to {high}", n) for low, high, n in counted]


def _list_predicted(one: HardUtterance) -> str:
    """Return each class with the number of members that predicted it, as ``calm 4, sad 2``."""
    return ", ".join(f"{label} {len(members)}" for label, members in one.predicted.items())
