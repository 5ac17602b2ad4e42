"""Files of members: tables in CSV and Parquet, arrays in NPZ, AnnData in h5ad."""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import MissingExtraError, StoreError
from ser_store.evaluation.choice.ensemble_names import VotingRule, load_members
from ser_store.evaluation.score_kinds import find_kind
from ser_store.interchange.columns import KIND_COLUMN
from ser_store.interchange.per_utterance import tabulate_answers
from ser_store.interchange.scores import recognise
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import NO_ANSWER
from ser_store_h5.names import PLUS
from ser_store_h5.store import Store

_LONG_COLUMNS = ("utterance", "run", "step", "label")
_RESERVED = ("utterance", "_index")  # the index, and how anndata calls it in a file


@dataclass(frozen=True)
class ExportRequest:
    """What shall be written of a store: ``rows`` are ascending indices ``(n,)`` int32 of the part ``on``.

    ``cautions`` say why figures of it may mislead; ``layer`` is the one whose representations are meant, None for
    the last; ensembles vote by ``voting``.
    """

    store: Store
    names: tuple[str, ...]
    rows: NDArray[np.int32]
    what: str
    on: str
    split: str | None
    cautions: tuple[str, ...] = ()
    layer: int | None = None
    voting: VotingRule = field(default_factory=VotingRule)

    @property
    def ids(self) -> NDArray[np.str_]:
        return self.store.corpus.ids[self.rows]

    @property
    def labels(self) -> NDArray[np.int16]:
        return self.store.corpus.labels[self.rows]


def _prepare_npz(request: ExportRequest) -> Callable[[Path], None]:
    def iter_arrays() -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield one member at a time: the pooled representations of all may be more than memory holds."""
        store, rows = request.store, request.rows
        yield from (("ids", request.ids), ("labels", request.labels), ("classes", np.array(store.corpus.classes)))
        for name in request.names:
            if request.what == "predicted":
                yield name, load_members(store, [name], rows, rule=request.voting)[0][0]
            else:
                pooled = request.what == "pooled"
                yield name, store.pooled(name, rows, layer=request.layer) if pooled else store.logits([name], rows)[0]

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in iter_arrays():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)

    return write


def _prepare_h5ad(request: ExportRequest) -> Callable[[Path], None]:
    annotated = _annotate(request)
    annotated.strings_to_categoricals()

    def write(path: Path) -> None:
        # Into a file that may be there and locked, which AnnData's own writer refuses.
        with import_module("h5py").File(path, "w", locking=False) as file:
            import_module("anndata.io").write_elem(file, "/", annotated)

    return write


def _make_table(request: ExportRequest) -> Any:
    if request.what == "logits":
        return _make_number_table(request)
    if request.what == "utterances":
        return tabulate_answers(request.store, request.names, request.rows, split=request.split, voting=request.voting)
    predicted = load_members(request.store, request.names, request.rows, rule=request.voting)[0]
    return (
        _make_wide_table(request, predicted) if predicted.min() > NO_ANSWER else _make_label_table(request, predicted)
    )


def _make_wide_table(request: ExportRequest, predicted: NDArray[np.int16]) -> Any:
    import polars

    classes = np.array(request.store.corpus.classes)
    columns = {name: classes[own].tolist() for name, own in zip(request.names, predicted, strict=True)}
    return polars.DataFrame({"utterance": request.ids.tolist(), "label": classes[request.labels].tolist(), **columns})


def _make_label_table(request: ExportRequest, predicted: NDArray[np.int16]) -> Any:
    """Long, so that an empty cell is an answer that was left out, and no utterance that a member did not hear."""
    import polars

    classes = [*request.store.corpus.classes, None]  # the last is that of -1
    parts = [
        {**_start_long(request, name), "predicted": [classes[label] for label in own.tolist()]}
        for name, own in zip(request.names, predicted, strict=True)
    ]
    return polars.concat(
        [polars.DataFrame(part, schema_overrides={"step": polars.Int64, "predicted": polars.String}) for part in parts]
    )


def _make_number_table(request: ExportRequest) -> Any:
    import polars

    store, classes = request.store, request.store.corpus.classes
    taken = sorted(set(classes) & {*_LONG_COLUMNS, "predicted", KIND_COLUMN})
    if taken:
        raise StoreError(f"class {taken[0]!r} has the name of a column of the table: expected .npz or .h5ad for logits")
    numbers = dict(zip(request.names, store.logits(request.names, request.rows), strict=True))
    kinds = {name: find_kind(store, store.resolve(name)[0]) for name in request.names}
    is_plain = len(set(request.labels.tolist())) == len(classes)
    is_plain = is_plain and all(recognise(own.astype(np.float64)) == kinds[name] for name, own in numbers.items())
    parts = []
    for name, own in numbers.items():
        stated = {} if is_plain else {KIND_COLUMN: kinds[name]}
        parts.append(
            polars.DataFrame({**_start_long(request, name), **stated, **dict(zip(classes, own.T, strict=True))})
        )
    return polars.concat(parts)


def _start_long(request: ExportRequest, name: str) -> dict[str, Any]:
    run, step = (name, None) if PLUS in name else request.store.resolve(name)
    labels = np.array(request.store.corpus.classes)[request.labels].tolist()
    return {"utterance": request.ids.tolist(), "run": run, "step": step, "label": labels}


# What writes a file, made before the file is: what cannot be written leaves none.
PREPARE: Mapping[str, Callable[[ExportRequest], Callable[[Path], object]]] = {
    ".csv": lambda request: _make_table(request).write_csv,  # float32 in the fewest digits that stand for no other
    ".parquet": lambda request: _make_table(request).write_parquet,
    ".npz": _prepare_npz,
    ".h5ad": _prepare_h5ad,
}


def _annotate(request: ExportRequest) -> Any:
    """Return the AnnData of ``(n_utterances, hidden)``, or without ``X`` of ``(n_utterances, 0)``."""
    store, rows, what = request.store, request.rows, request.what
    try:
        anndata = import_module("anndata")
    except ModuleNotFoundError as missing:
        raise MissingExtraError("anndata is not installed: .h5ad files need it; pip install anndata") from missing
    pooled: dict[str, NDArray[Any]] = {}
    further: dict[str, NDArray[Any]] = {}
    predicted: dict[str, NDArray[np.int16]] = {}
    for name in request.names:
        info = store.describe_member(name)
        if what == "pooled" or (what == "everything" and info.pooled is not None):
            pooled[name] = store.pooled(name, rows, layer=request.layer)
        if what == "logits" or (what == "everything" and info.logits is not None):
            further[f"{name}.logits"] = store.logits([name], rows)[0]
        if what == "predicted" or (what != "pooled" and info.can_vote):
            predicted[name] = store.predictions([name], rows)[0]
    single = next(iter(pooled.values())) if len(pooled) == 1 else None
    return anndata.AnnData(
        X=single,
        obs=_make_observations(store.corpus, rows, predicted),
        obsm=further if single is not None else {**pooled, **further},
        uns=_describe(request),
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


def _describe(request: ExportRequest) -> dict[str, Any]:
    store, corpus = request.store, request.store.corpus
    provenance = {name: dict(store.describe_member(name).provenance) for name in request.names}
    return {
        "classes": np.array(corpus.classes, dtype=object),
        "corpus": {"name": corpus.name, "digest": corpus.digest},
        "provenance": {name: json.dumps(own, sort_keys=True) for name, own in provenance.items()},
        "on": request.on,
        "split": request.split or corpus.default_split or "",
        "cautions": np.array(request.cautions, dtype=object),
    }
