"""Any corpus from a table: one row per recording, as CSV or Parquet."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ser_store.corpora.building import BuiltCorpus, Cell, Draft, build_corpus
from ser_store.corpora.splits import normalise_parts
from ser_store.errors import CorpusError
from ser_store.progress import Progress, silent

if TYPE_CHECKING:
    from polars import DataFrame, Series

_NEEDED = ("path", "label")
_HEADER_BYTES = 1_000
# Read as text whatever they look like: speaker 01 is not speaker 1.
_TEXT = (*_NEEDED, "utterance", "speaker", "split")


def load_manifest(
    manifest: Path,
    *,
    audio: Path | None = None,
    skip_bad: bool = False,
    strict: bool = False,
    progress: Progress = silent,
) -> BuiltCorpus:
    """The recordings that a CSV or Parquet table lists, as a corpus named after the file.

    Columns: ``path`` and ``label``; optionally ``utterance`` (the id; default: the recording's stem), ``speaker``,
    ``split`` (becomes the split ``split``, its parts as by :func:`~ser_store.corpora.splits.normalise_part`). All
    further columns are kept: whole numbers as int64, numbers as float64 (empty cells NaN, which makes whole numbers
    float64 too), everything else, truth values too, as text. A column ``duration`` or ``sample_rate`` gives way to
    the measured one.

    Args:
        audio: the folder that relative paths start from; default: the manifest's folder.
        skip_bad: leave out recordings that cannot be used, instead of refusing.
        strict: a recording that is not as its header says cannot be used.

    Raises:
        CorpusError: if the table cannot be read, has no rows, lacks a column or a cell, or repeats an id.
        AudioError: if a recording cannot be used (unless ``skip_bad``).
    """
    table = _read_table(manifest)
    missing = [column for column in _NEEDED if column not in table.columns]
    if missing:
        found = ", ".join(repr(column) for column in table.columns[:12]) or "none"
        raise CorpusError(
            f"{manifest} has no column {missing[0]!r}: expected the columns 'path' and 'label', found {found}; "
            f"rename its columns"
        )
    if table.is_empty():
        raise CorpusError(f"{manifest} has no rows: expected one per recording; list the recordings in it")
    if audio is not None and not audio.is_dir():
        raise CorpusError(f"{audio} is not a folder: expected the one that the paths in {manifest} start from")
    root = manifest.parent if audio is None else audio
    drafts = _make_drafts(manifest, table, root)
    built = build_corpus(manifest.stem, drafts, audio_root=root, skip_bad=skip_bad, strict=strict, progress=progress)
    return _with_own_split(built)


def _read_table(manifest: Path) -> "DataFrame":
    import polars

    suffix = manifest.suffix.lower()
    if suffix not in {".csv", ".parquet"}:
        raise CorpusError(f"{manifest} is no manifest: expected a .csv or .parquet file with columns path and label")
    try:
        content = manifest.read_bytes()
    except OSError as problem:
        raise CorpusError(
            f"{manifest} cannot be read ({problem.strerror}): expected a .csv or .parquet file; check the path"
        ) from problem
    if suffix == ".csv" and b"\0" in content[:_HEADER_BYTES]:
        raise CorpusError(
            f"{manifest} cannot be read (NUL in its header): expected CSV in UTF-8, not UTF-16; save it again as UTF-8"
        )
    try:
        if suffix != ".csv":
            table = polars.read_parquet(BytesIO(content))
        else:
            header = polars.read_csv(BytesIO(content), n_rows=0).columns
            as_text = {column: polars.String for column in header if column.strip() in _TEXT}
            table = polars.read_csv(BytesIO(content), schema_overrides=as_text, infer_schema_length=None)
        return table.rename({column: column.strip() for column in table.columns})
    except polars.exceptions.PolarsError as problem:
        reason = str(problem).strip().split("\n")[0].rstrip(".:")
        raise CorpusError(
            f"{manifest} cannot be read ({reason}): expected {'CSV in UTF-8' if suffix == '.csv' else 'Parquet'} with "
            f"the columns 'path' and 'label'; export it again"
        ) from problem


def _make_drafts(manifest: Path, table: "DataFrame", root: Path) -> list[Draft]:
    paths, labels = (_filled_cells(manifest, table[column]) for column in _NEEDED)
    ids = [Path(path).stem for path in paths]
    if "utterance" in table.columns:
        ids = _filled_cells(manifest, table["utterance"])
    speakers: list[str] | list[None] = [None] * len(ids)
    if "speaker" in table.columns and any(_stripped_cells(manifest, table["speaker"])):
        speakers = _filled_cells(manifest, table["speaker"])
    further = {column: _cells(manifest, table[column]) for column in table.columns if column not in _TEXT}
    if "split" in table.columns:
        further["split"] = list(_stripped_cells(manifest, table["split"]))
    rows = zip(*further.values(), strict=True) if further else [()] * len(ids)
    return [
        Draft(utterance, root / path, label, speaker, dict(zip(further, row, strict=True)))
        for utterance, path, label, speaker, row in zip(ids, paths, labels, speakers, rows, strict=True)
    ]


def _stripped_cells(manifest: Path, series: "Series") -> list[str]:
    return [str(cell).strip() for cell in _cells(manifest, series, as_text=True)]


def _filled_cells(manifest: Path, series: "Series") -> list[str]:
    cells = _stripped_cells(manifest, series)
    if "" in cells:
        raise CorpusError(
            f"{manifest} has no {series.name} in row {cells.index('') + 1} below the header: expected one in every "
            f"row; fill it in or drop the row"
        )
    return cells


def _cells(manifest: Path, series: "Series", *, as_text: bool = False) -> list[Cell]:
    import polars

    kind = series.dtype
    try:
        if kind.is_nested() or kind in (polars.Binary, polars.Object):
            raise polars.exceptions.InvalidOperationError
        if kind.is_integer() and series.null_count() == 0 and not as_text:
            return series.cast(polars.Int64).to_list()
        if kind.is_numeric() and not as_text:
            return series.cast(polars.Float64).fill_null(np.nan).to_list()
        return series.cast(polars.String).fill_null("").to_list()
    except polars.exceptions.PolarsError as problem:
        raise CorpusError(
            f"{manifest} has a column {series.name!r} of {kind} that cannot be kept: expected text, or numbers of at "
            f"most 64 bits; drop or convert it"
        ) from problem


def _with_own_split(built: BuiltCorpus) -> BuiltCorpus:
    columns = dict(built.corpus.columns)
    parts = columns.pop("split", None)
    if parts is None:
        return built
    corpus = replace(built.corpus, columns=columns)
    return replace(built, corpus=corpus.with_split("split", normalise_parts(parts)) if (parts != "").any() else corpus)
