"""Members as AnnData: utterances are observations, pooled representations ``X`` or ``obsm``.

=======================  ===========================================================================================
``obs_names``            utterance ids
``obs``                  ``label`` (its categories are the classes in their order), ``speaker``, the corpus' columns,
                         ``split_<name>`` for each split, and the class predicted by each member under its name
``X``, ``var_names``     pooled representations of the member, if only one has them; dimensions ``0``, ``1``, …
``obsm[member]``         pooled representations of each member, if several have them
``obsm[member.logits]``  logits of each member, columns in the order of the classes
``uns``                  ``classes``, ``corpus`` (name, digest), ``on``, ``split``, ``provenance`` (JSON by member),
                         ``cautions``
=======================  ===========================================================================================

Numbers keep their type: pooled representations float16 or float32 as stored, logits float32.
"""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import MissingExtraError
from ser_store_h5.corpus import Corpus
from ser_store_h5.store import Store

_RESERVED = ("utterance", "_index")  # the index, and how anndata calls it in a file


def annotate(
    store: Store,
    names: Sequence[str],
    rows: NDArray[np.int32],
    *,
    what: str,
    described: Mapping[str, Any],
    layer: int | None = None,
) -> Any:
    """Return the AnnData of ``(n_utterances, hidden)``, or without ``X`` of ``(n_utterances, 0)``.

    Args:
        store: the store.
        names: full names of the members.
        rows: ascending indices of the utterances, ``(n_utterances,)``.
        what: ``everything``, ``predicted``, ``logits`` or ``pooled``.
        described: what ``uns`` holds besides classes, corpus and provenance.
        layer: whose representations are meant; None for the last that was kept.

    Raises:
        MissingExtraError: if the package anndata is not installed.
        StoreError: if a member covers not all utterances, or lacks what is asked for.
    """
    try:
        anndata = import_module("anndata")
    except ModuleNotFoundError as missing:
        raise MissingExtraError("anndata is not installed: .h5ad files need it; pip install anndata") from missing
    pooled: dict[str, NDArray[Any]] = {}
    further: dict[str, NDArray[Any]] = {}
    predicted: dict[str, NDArray[np.int16]] = {}
    for name in names:
        info = store.describe_member(name)
        if what == "pooled" or (what == "everything" and info.pooled is not None):
            pooled[name] = store.pooled(name, rows, layer=layer)
        if what == "logits" or (what == "everything" and info.logits is not None):
            further[f"{name}.logits"] = store.logits([name], rows)[0]
        if what == "predicted" or (what != "pooled" and info.can_vote):
            predicted[name] = store.predictions([name], rows)[0]
    single = next(iter(pooled.values())) if len(pooled) == 1 else None
    return anndata.AnnData(
        X=single,
        obs=_make_observations(store.corpus, rows, predicted),
        obsm=further if single is not None else {**pooled, **further},
        uns={**_describe(store, names), **described},
    )


def _make_observations(corpus: Corpus, rows: NDArray[np.int32], predicted: dict[str, NDArray[np.int16]]) -> Any:
    pandas = import_module("pandas")

    def name_classes(codes: NDArray[np.int16]) -> Any:
        return pandas.Categorical.from_codes(codes, categories=list(corpus.classes))

    columns: dict[str, Any] = {"label": name_classes(corpus.labels[rows])}
    if corpus.speakers is not None:
        columns["speaker"] = corpus.speakers[rows].astype(object)
    said = {name: name_classes(codes) for name, codes in predicted.items()}
    splits = {f"split_{split}": parts[rows].astype(object) for split, parts in corpus.splits.items()}
    taken = {*_RESERVED, *columns, *said, *splits}
    for name, values in corpus.columns.items():
        free = name
        while free in taken:
            free = f"column_{free}"
        taken.add(free)
        columns[free] = values[rows].astype(object) if values.dtype.kind == "U" else values[rows]
    columns |= splits | said
    return pandas.DataFrame(columns, index=pandas.Index(corpus.ids[rows].astype(object), name="utterance"))


def _describe(store: Store, names: Sequence[str]) -> dict[str, Any]:
    return {
        "classes": np.array(store.corpus.classes, dtype=object),
        "corpus": {"name": store.corpus.name, "digest": store.corpus.digest},
        "provenance": {
            name: json.dumps(dict(store.describe_member(name).provenance), sort_keys=True) for name in names
        },
    }


def write_h5ad(path: Path, annotated: Any) -> None:
    """Write an AnnData into a file that may be there and locked, which its own writer refuses."""
    annotated.strings_to_categoricals()
    with import_module("h5py").File(path, "w", locking=False) as file:
        import_module("anndata.io").write_elem(file, "/", annotated)
