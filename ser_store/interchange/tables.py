"""Tables on disk, through polars, which only those who read or write one pay for."""

from pathlib import Path
from typing import Any

from ser_store.errors import CorpusError

READABLE = (".csv", ".parquet")
_SEPARATORS = ";\t|"


def read_table(path: Path) -> Any:
    """A polars data frame from a CSV or Parquet file. All of a CSV is text: utterance 007 is not utterance 7.

    Raises:
        CorpusError: if the file is missing, is of another type, cannot be parsed, or names a column twice.
    """
    import polars

    if not path.is_file():
        raise CorpusError(f"{path}: no such file: expected a CSV or Parquet table")
    if path.suffix.lower() not in READABLE:
        raise CorpusError(f"{path}: is of type {path.suffix!r}: expected one of {', '.join(READABLE)}")
    is_csv = path.suffix.lower() == ".csv"
    try:
        table = _read_csv(path) if is_csv else polars.read_parquet(path)
    except (polars.exceptions.PolarsError, OSError, UnicodeDecodeError) as problem:
        reason = (str(problem).splitlines() or ["unreadable"])[0]
        expected = "CSV in UTF-8 with commas" if is_csv else "Parquet"
        raise CorpusError(f"{path}: cannot be read as a table ({reason}): expected {expected}") from problem
    if not table.height:
        raise CorpusError(f"{path} has no rows: expected one for each utterance")
    return table


def _read_csv(path: Path) -> Any:
    """The header is read as a row like the others: in headers, polars leaves doubled quotes as they are."""
    import polars

    table = polars.read_csv(path, has_header=False, infer_schema=False)
    header = ["" if name is None else name for name in table.row(0)]
    _check_header(header, path)
    return table.slice(1).rename(dict(zip(table.columns, header, strict=True)))


def _check_header(header: list[str], path: Path) -> None:
    if any("\0" in name for name in header):
        raise CorpusError(f"{path}: cannot be read as a table (NUL in its header): expected CSV in UTF-8, not UTF-16")
    if len(header) == 1:
        separator = next((mark for mark in _SEPARATORS if mark in header[0]), None)
        if separator is not None:
            raise CorpusError(f"{path}: is separated by {separator!r}: expected commas; save it again with commas")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise CorpusError(f"{path}: column {twice!r} stands twice: expected every column once; drop or rename it")
