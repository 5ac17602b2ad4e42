"""Tables on disk, through polars, which only those who read or write one pay for."""

from pathlib import Path
from typing import Any

from ser_store.errors import CorpusError

READABLE = (".csv", ".parquet")


def read_table(path: Path) -> Any:
    """A polars data frame from a CSV or Parquet file; CSV columns keep the type their text suggests.

    Raises:
        CorpusError: if the file is missing, is of another type, or cannot be parsed.
    """
    import polars

    if not path.is_file():
        raise CorpusError(f"{path}: no such file: expected a CSV or Parquet table")
    if path.suffix.lower() not in READABLE:
        raise CorpusError(f"{path}: is of type {path.suffix!r}: expected one of {', '.join(READABLE)}")
    try:
        # Types are taken from all rows: an id or label that looks like a number for 100 rows may not in the next.
        is_csv = path.suffix.lower() == ".csv"
        table = polars.read_csv(path, infer_schema_length=None) if is_csv else polars.read_parquet(path)
    except (polars.exceptions.PolarsError, OSError, UnicodeDecodeError) as problem:
        reason = (str(problem).splitlines() or ["unreadable"])[0]
        raise CorpusError(f"{path}: cannot be read as a table ({reason}): expected CSV or Parquet") from problem
    if not table.height:
        raise CorpusError(f"{path} has no rows: expected one for each utterance")
    return table
