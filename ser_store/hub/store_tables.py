"""A store as Parquet tables that any program, and the hub's viewer, reads: its utterances, and what members say."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_store.evaluation.score_kinds import find_kind
from ser_store_h5.names import format_member
from ser_store_h5.pack.private import hide_in_corpus
from ser_store_h5.store import Store

if TYPE_CHECKING:
    from polars import DataFrame

_OWN = ("utterance", "label", "speaker")


def make_utterance_table(store: Store) -> "DataFrame":
    """Return a row for each utterance: ``utterance``, ``label``, ``speaker``, the columns, and ``split_NAME`` of each.

    Nothing says where recordings lie. Empty texts are null. A column that is called like one of these has ``column_``
    before its name.
    """
    import polars

    corpus = hide_in_corpus(store.corpus)
    table: dict[str, Any] = {"utterance": corpus.ids, "label": np.array(corpus.classes)[corpus.labels]}
    table |= {"speaker": corpus.speakers} if corpus.speakers is not None else {}
    splits = {f"split_{name}": parts for name, parts in corpus.splits.items()}
    for name, values in corpus.columns.items():
        table[f"column_{name}" if name in (*_OWN, *splits) else name] = values
    frame = polars.DataFrame({name: values.tolist() for name, values in (table | splits).items()})
    return frame.with_columns(polars.col(polars.String).replace("", None))


def iter_member_tables(store: Store) -> Iterator[tuple[str, "DataFrame"]]:
    """Yield for each run what its members say: a row for each member and utterance that it covers.

    Columns are ``member``, ``utterance``, ``label``, ``predicted`` (null where there was no answer), ``scores`` (what
    the numbers are; null where a member holds none) and ``logits_CLASS`` for each class. Members that answer nothing
    are left out.
    """
    import polars

    corpus = store.corpus
    names = np.array([*corpus.classes, None], dtype=object)  # the last is that of -1
    numbers = [f"logits_{name}" for name in corpus.classes]
    texts = dict.fromkeys(("member", "utterance", "label", "predicted", "scores"), polars.String)
    schema = {**texts, **dict.fromkeys(numbers, polars.Float32)}
    for run in store.runs():
        frames = []
        for member in (format_member(run, step) for step in store.steps(run)):
            if not store.describe_member(member).can_vote:
                continue
            rows = store.covered(member)
            said = store.answers([member], rows)[0]
            has_logits = said.ndim == 2
            codes = said.argmax(axis=1) if has_logits else said
            columns: dict[str, Any] = {
                "member": [member] * len(rows),
                "utterance": corpus.ids[rows].tolist(),
                "label": names[corpus.labels[rows]].tolist(),
                "predicted": names[codes].tolist(),
                "scores": [find_kind(store, run) if has_logits else None] * len(rows),
            }
            columns |= {name: said[:, c] if has_logits else [None] * len(rows) for c, name in enumerate(numbers)}
            frames.append(polars.DataFrame(columns, schema=schema))
        if frames:
            yield run, polars.concat(frames)
