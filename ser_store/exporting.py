"""Members as tables and arrays that other programs read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation import choose_members, name_part
from ser_store_h5.atomic import write_atomically
from ser_store_h5.store import Store

CONTENTS = ("predicted", "logits", "pooled")
SUFFIXES = (".csv", ".parquet", ".npz")


def export(
    store: Store,
    path: Path,
    members: Sequence[str] = (),
    *,
    what: str = "predicted",
    on: str | None = None,
    split: str | None = None,
    steps: str = "selected",
) -> tuple[int, int]:
    """Write members to a CSV, Parquet or NPZ file that ``serstore import`` reads again (CSV and Parquet).

    Args:
        path: a new file; its suffix says the type.
        members: default: as for evaluation.
        what: ``predicted``: a wide table with ``utterance``, ``label`` and one column of class names for each member;
            ``logits``: a long table with ``utterance``, ``run``, ``step`` and one column for each class;
            ``pooled``: NPZ only. NPZ files hold ``ids``, ``labels``, ``classes`` and one array for each member.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.

    Returns:
        Members and utterances written.

    Raises:
        ExistsError: if the file is there.
        StoreError: if a member covers not all utterances, or lacks what is asked for.
    """
    if what not in CONTENTS:
        raise UnknownNameError(describe_unknown("content", what, CONTENTS))
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or (what == "pooled" and suffix != ".npz"):
        expected = ".npz" if what == "pooled" else ", ".join(SUFFIXES)
        raise StoreError(f"{path.name}: cannot hold {what} as {suffix or 'a file without suffix'}: expected {expected}")
    on = name_part(store.corpus, on, split)
    rows = store.corpus.rows(on, split=split)
    names = choose_members(store, members, steps=steps)
    if suffix == ".npz":
        _write_npz(store, path, names, rows, what)
    else:
        _write_table(store, path, names, rows, what)
    return len(names), len(rows)


def _write_npz(store: Store, path: Path, names: Sequence[str], rows: NDArray[np.int32], what: str) -> None:
    corpus = store.corpus
    arrays: dict[str, Any] = {
        "ids": corpus.ids[rows],
        "labels": corpus.labels[rows],
        "classes": np.array(corpus.classes),
    }
    if what == "pooled":
        arrays |= {name: store.pooled(name, rows) for name in names}
    else:
        read = store.logits if what == "logits" else store.predictions
        arrays |= dict(zip(names, read(names, rows), strict=True))

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    write_atomically(path, write)


def _write_table(store: Store, path: Path, names: Sequence[str], rows: NDArray[np.int32], what: str) -> None:
    import polars

    corpus = store.corpus
    classes = np.array(corpus.classes)
    ids, labels = corpus.ids[rows].tolist(), classes[corpus.labels[rows]].tolist()
    if what == "predicted":
        said = store.predictions(names, rows)
        columns = {name: classes[predicted].tolist() for name, predicted in zip(names, said, strict=True)}
        table = polars.DataFrame({"utterance": ids, "label": labels, **columns})
    else:
        parts = []
        for name, logits in zip(names, store.logits(names, rows), strict=True):
            run, step = store.resolve(name)
            per_class = dict(zip(corpus.classes, logits.T, strict=True))
            same = polars.lit(run).alias("run"), polars.lit(step).alias("step")
            parts.append(polars.DataFrame({"utterance": ids, "label": labels, **per_class}).with_columns(*same))
        table = polars.concat(parts).select("utterance", "run", "step", "label", *corpus.classes)

    def write(temporary: Path) -> None:
        if path.suffix.lower() == ".csv":
            table.write_csv(temporary)
        else:
            table.write_parquet(temporary)

    write_atomically(path, write)
