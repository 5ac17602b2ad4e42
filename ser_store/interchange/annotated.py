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
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import MissingExtraError
from ser_store.interchange.selection import Selected

_RESERVED = ("utterance", "_index")  # the index, and how anndata calls it in a file


def annotate(selected: Selected) -> Any:
    """The AnnData of ``(n_utterances, hidden)``, or without ``X`` of ``(n_utterances, 0)``.

    Raises:
        MissingExtraError: if the package anndata is not installed.
        StoreError: if a member covers not all utterances, or lacks what is asked for.
    """
    try:
        anndata = import_module("anndata")
    except ModuleNotFoundError as missing:
        raise MissingExtraError("anndata is not installed: .h5ad files need it; pip install anndata") from missing
    store, rows = selected.store, selected.rows
    pooled: dict[str, NDArray[Any]] = {}
    further: dict[str, NDArray[Any]] = {}
    predicted: dict[str, NDArray[np.int16]] = {}
    for name in selected.names:
        info = store.describe_member(name)
        if selected.what == "pooled" or (selected.what == "everything" and info.pooled is not None):
            pooled[name] = store.pooled(name, rows)
        if selected.what == "logits" or (selected.what == "everything" and info.logits is not None):
            further[f"{name}.logits"] = store.logits([name], rows)[0]
        if selected.what == "predicted" or (selected.what != "pooled" and info.can_vote):
            predicted[name] = store.predictions([name], rows)[0]
    single = next(iter(pooled.values())) if len(pooled) == 1 else None
    return anndata.AnnData(
        X=single,
        obs=_make_observations(selected, predicted),
        obsm=further if single is not None else {**pooled, **further},
        uns=_describe(selected),
    )


def _make_observations(selected: Selected, predicted: dict[str, NDArray[np.int16]]) -> Any:
    pandas = import_module("pandas")
    corpus, rows = selected.store.corpus, selected.rows

    def name_classes(codes: NDArray[np.int16]) -> Any:
        return pandas.Categorical.from_codes(codes, categories=list(corpus.classes))

    columns: dict[str, Any] = {"label": name_classes(selected.labels)}
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
    return pandas.DataFrame(columns, index=pandas.Index(selected.ids.astype(object), name="utterance"))


def _describe(selected: Selected) -> dict[str, Any]:
    corpus = selected.store.corpus
    split = selected.split or corpus.default_split
    return {
        "classes": np.array(corpus.classes, dtype=object),
        "corpus": {"name": corpus.name, "digest": corpus.digest},
        "on": selected.on,
        "split": split or "",
        "cautions": np.array(selected.cautions, dtype=object),
        "provenance": {
            name: json.dumps(dict(selected.store.describe_member(name).provenance), sort_keys=True)
            for name in selected.names
        },
    }


def write_h5ad(path: Path, annotated: Any) -> None:
    """Write an AnnData into a file that may be there and locked, which its own writer refuses."""
    annotated.strings_to_categoricals()
    with import_module("h5py").File(path, "w", locking=False) as file:
        import_module("anndata.io").write_elem(file, "/", annotated)
