"""Tables of the utterances that members find hard."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ser_store.common.display import Block, Table, format_count

if TYPE_CHECKING:
    from ser_store.evaluation.hard_utterances import HardUtterance, HardUtterances

MAX_LINES = 12


def tabulate_hard(hard: "HardUtterances") -> Iterator[Block]:
    """Yield how many members get how many utterances right, and tables of those that none or only one gets right."""
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


def _list_predicted(one: "HardUtterance") -> str:
    """Return each class with the number of members that predicted it, as ``calm 4, sad 2``."""
    return ", ".join(f"{label} {len(members)}" for label, members in one.predicted.items())
