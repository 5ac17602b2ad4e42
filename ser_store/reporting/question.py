"""What a page is asked for, and whom and what that means."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.splits.cautions import caution_split
from ser_store.corpora.splits.listing import splits
from ser_store.errors import StoreError
from ser_store.evaluation import Evaluations, evaluate
from ser_store.evaluation.choice.covering import choose_covering
from ser_store.evaluation.choice.member_choice import Steps
from ser_store_h5.names import PLUS
from ser_store_h5.progress import Progress
from ser_store_h5.store import Store


@dataclass(frozen=True, eq=False)
class Asked:
    """The question of a page.

    Attributes:
        store: whose members.
        on: the part of the split; None until it is settled.
        split: the split; None for the default.
        k: members of the ensembles that are searched; None for the default.
        members: those that are named.
        steps: ``selected`` or ``all``.
        exclude: members, runs or patterns that are left out.
        progress: shows how far the search is.
        rows: ``(n,)`` the utterances; none until they are settled.
    """

    store: Store
    on: str | None
    split: str | None
    k: int | None
    members: Sequence[str]
    steps: Steps
    exclude: Sequence[str]
    progress: Progress
    rows: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, dtype=np.int32))


def settle(asked: Asked) -> tuple[Asked, Evaluations]:
    """Return the question with its part and utterances, and the members' figures on them.

    Raises:
        StoreError: if an ensemble is named.
    """
    if ensembles := [name for name in asked.members if PLUS in name]:
        raise StoreError(f"{ensembles[0]} is an ensemble: expected members, which the page lets vote; name those")
    found = evaluate(
        asked.store, asked.members, on=asked.on, split=asked.split, steps=asked.steps, exclude=asked.exclude
    )
    names = [one.member for one in found.members]
    rows = asked.store.corpus.rows(found.on, split=asked.split)
    return replace(asked, on=found.on, rows=choose_covering(asked.store, names, rows, on=found.on).rows), found


def describe_question(asked: Asked, found: Evaluations) -> dict[str, Any]:
    """Return which utterances of which corpus and split the figures are of, and why they may mislead."""
    corpus, speakers = asked.store.corpus, asked.store.corpus.speaker_groups(asked.rows)
    of_split = caution_split(corpus, asked.split) if corpus.splits else ()
    intervals = [one.interval for one in found.members]
    return {
        "corpus": corpus.name,
        "n_corpus": len(corpus),
        "n": len(asked.rows),
        "on": found.on,
        "split": found.split,
        "classes": list(corpus.classes),
        "speakers": 0 if speakers is None else len(set(speakers.tolist())),
        "parts": _list_parts(asked, found.split, found.on),
        "intervals": " or ".join(dict.fromkeys(one.method for one in intervals)),
        "cautions": list(dict.fromkeys((*of_split, *found.cautions))),
    }


def _list_parts(asked: Asked, split: str | None, on: str) -> list[dict[str, Any]]:
    described = [one for one in splits(asked.store).splits if one.name == split]
    return [
        {
            "part": part.part,
            "n": part.n,
            "speakers": len(part.speakers),
            "classes": list(part.classes.values()),
            "is_judged": on in (part.part, "all"),
        }
        for one in described
        for part in one.parts
    ]
