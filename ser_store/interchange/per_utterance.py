"""``predictions``: what members said about every utterance, as one data frame."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_store.evaluation.choice.member_choice import Steps, choose_covering, name_part
from ser_store.evaluation.members import load_members
from ser_store.evaluation.score_kinds import load_probabilities
from ser_store_h5.member import NO_ANSWER
from ser_store_h5.names import list_names
from ser_store_h5.store import StoreLike, open_store

if TYPE_CHECKING:
    from polars import DataFrame


def predictions(
    store: StoreLike,
    members: str | Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    steps: Steps = "selected",
) -> "DataFrame":
    """Return what members said about every utterance, a row for each member and utterance.

    Columns are ``member``, ``utterance``, ``path`` and ``speaker`` (null where unknown), ``part``, ``label``,
    ``predicted`` (null where there was no answer), ``correct``, and ``p_CLASS`` for each class, the probabilities; null
    of members that hold predicted classes alone.

    Args:
        store: the store.
        members: names. Default: every run's selected step.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        split: default: the corpus' default split.
        steps: ``selected``, or ``all`` steps of runs that are named alone or not at all.

    Raises:
        StoreError: if a member covers not all utterances asked for.
        UnknownNameError: if there is no such member or part.

    >>> import ser_store as ss
    >>> frame = ss.predictions(ss.open_example(), ["xlsr53"])
    >>> frame.columns[:4], frame["correct"].sum()
    (['member', 'utterance', 'path', 'speaker'], 267)
    """
    store = open_store(store)
    members = list_names(members)
    import polars

    corpus = store.corpus
    on = name_part(corpus, on, split)
    chosen = choose_covering(store, members, corpus.rows(on, split=split), on=on, steps=steps)
    rows = chosen.rows
    classes = np.array([*corpus.classes, None], dtype=object)  # the last is that of -1
    parts = corpus.parts(split)[rows] if corpus.splits else np.full(len(rows), None)
    known: dict[str, Any] = {
        "utterance": corpus.ids[rows].tolist(),
        "path": [None] * len(rows) if corpus.paths is None else corpus.paths[rows].tolist(),
        "speaker": [None] * len(rows)
        if corpus.speakers is None
        else [name or None for name in corpus.speakers[rows].tolist()],
        "part": parts.tolist(),
        "label": classes[corpus.labels[rows]].tolist(),
    }
    predicted, logits = load_members(store, chosen.names, rows)
    texts = ("member", *known, "predicted")
    frames = []
    for place, name in enumerate(chosen.names):
        codes = predicted[place]
        own: dict[str, Any] = {"member": name, **known, "predicted": classes[codes].tolist()}
        own["correct"] = (codes == corpus.labels[rows]) & (codes != NO_ANSWER)
        shares = None if logits[place] is None else load_probabilities(store, [name], rows)[0]
        own |= {f"p_{label}": None if shares is None else shares[:, c] for c, label in enumerate(corpus.classes)}
        numbers = {f"p_{label}": polars.Float64 for label in corpus.classes}
        frames.append(polars.DataFrame(own, schema_overrides={**dict.fromkeys(texts, polars.String), **numbers}))
    return polars.concat(frames)
