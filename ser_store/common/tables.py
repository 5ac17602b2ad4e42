"""Tables on disk, through polars, which only those who read or write one pay for."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO, StringIO
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from ser_store.errors import CorpusError

if TYPE_CHECKING:
    from polars import DataFrame

READABLE = (".csv", ".parquet", ".tsv")
_SEPARATORS = ",;\t|"
_BLANK_LINES = re.compile(r"\A(?:[ \t]*[\r\n])+")
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?[,;\t|]*\r?\n', re.IGNORECASE)  # Excel's
_SPACED_QUOTE = re.compile(' +"')
# What pandas calls a column without a name when it reads one, and when it writes Parquet.
_UNNAMED = re.compile(r"|Unnamed: \d+(\.\d+)?|__index_level_\d+__")


@dataclass(frozen=True)
class TableFile:
    """What a file holds.

    Attributes:
        frame: a polars data frame; of a CSV all is text, and empty cells are null.
        separator: what stands between the cells of a CSV: a comma, semicolon, tab or bar; None for Parquet.
        notes: one line for each thing that was understood of it and may not have been meant.
    """

    frame: "DataFrame"
    separator: str | None = None
    notes: tuple[str, ...] = ()


def load_table(path: Path) -> TableFile:
    """Read a CSV or Parquet file. All of a CSV is text: utterance 007 is not utterance 7.

    The header decides whether commas, semicolons, tabs or bars separate. Rows without any cell are no rows. A column
    without a name is left out where it is empty or numbers the rows.

    Raises:
        CorpusError: if the file is missing, is of another type, cannot be parsed, names a column twice, or has a
            column without a name that says something.
    """
    import polars

    if not path.is_file():
        raise CorpusError(f"{path}: no such file: expected a CSV or Parquet table; check the path")
    if path.suffix.lower() not in READABLE:
        raise CorpusError(f"{path}: is of type {path.suffix!r}: expected one of {', '.join(READABLE)}")
    separator = None
    try:
        content = path.read_bytes()
        if path.suffix.lower() != ".parquet":
            text, separator = _find_separator(_decode(content))
            frame = _parse_csv(text, separator, path)
        else:
            frame = polars.read_parquet(BytesIO(content))
    except (polars.exceptions.PolarsError, OSError, ValueError) as problem:
        reason = (str(problem).strip().splitlines() or ["unreadable"])[0].rstrip(".:")
        expected = "Parquet" if path.suffix.lower() == ".parquet" else "CSV in UTF-8"
        raise CorpusError(
            f"{path}: cannot be read as a table ({reason}): expected {expected}; save it again"
        ) from problem
    frame, notes = _drop_unnamed(frame, path)
    if not frame.height:
        raise CorpusError(f"{path} has no rows: expected one for each utterance")
    return TableFile(frame, separator, notes)


def _decode(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:1_000].split(b"\n")[0]:
        raise ValueError("NUL in its header, as in UTF-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise ValueError(f"byte 0x{content[problem.start]:02x} in line {line} is not UTF-8") from problem


def _find_separator(text: str) -> tuple[str, str]:
    """The text from its header on, and what splits its first rows alike, into most columns; in doubt, commas."""
    text = _BLANK_LINES.sub("", text)
    if said := _SEPARATOR_LINE.match(text):
        return _BLANK_LINES.sub("", text[said.end() :]), said[1]
    if not text:
        raise ValueError("empty CSV")
    widths: dict[str, list[int]] = {}
    for mark in _SEPARATORS:
        with suppress(csv.Error):
            widths[mark] = [len(row) for row in islice(_read_rows(text, mark), 20) if row]
    splitting = [mark for mark, found in widths.items() if found[0] > 1]
    even = [mark for mark in splitting if len(set(widths[mark])) == 1]
    return text, max(even or splitting or [","], key=lambda mark: widths.get(mark, [0])[0])


def _read_rows(text: str, separator: str, *, spaced: bool = False) -> Iterator[list[str]]:
    """The rows; ``spaced``: with spaces between a separator and the quotation mark behind it."""
    return csv.reader(StringIO(text, newline=""), delimiter=separator, skipinitialspace=spaced, strict=True)


def _parse_csv(text: str, separator: str, path: Path) -> "DataFrame":
    import polars

    frame = _parse_cells(text, separator)
    header = ["" if name is None else name for name in frame.row(0)]
    twice = next((name for name, n in Counter(header).items() if n > 1 and not _UNNAMED.fullmatch(name)), None)
    if twice is not None:
        raise CorpusError(f"{path}: column {twice!r} stands twice: expected every column once; drop or rename it")
    names = [f"__index_level_{place}__" if _UNNAMED.fullmatch(name) else name for place, name in enumerate(header)]
    frame = frame.slice(1).rename(dict(zip(frame.columns, names, strict=True)))
    return frame.filter(polars.any_horizontal(polars.all().str.strip_chars() != ""))


def _parse_cells(text: str, separator: str) -> "DataFrame":
    """All rows, the header among them. Unquoted ones are left to polars, which takes a tenth of the time."""
    import polars

    if '"' not in text:
        plain = text.replace("\r\n", "\n").replace("\r", "\n").encode()
        with suppress(polars.exceptions.PolarsError):  # where it cannot, the slow way says in which row
            return polars.read_csv(plain, separator=separator, has_header=False, infer_schema=False)
    header, *rows = _split_rows(text, separator)
    for number, row in enumerate(rows, start=1):
        if any(cell.strip() for cell in row[len(header) :]):
            raise ValueError(
                f"found more fields than the {len(header)} columns of the header in row {number}, of {row[0]!r}; text "
                f"with {separator!r} in it needs quotes"
            )
    columns = zip_longest(header, *(row[: len(header)] for row in rows))
    return polars.DataFrame([polars.Series([cell or None for cell in cells], dtype=polars.String) for cells in columns])


def _split_rows(text: str, separator: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in _read_rows(text, separator):
            if any(_SPACED_QUOTE.match(cell) for cell in row):
                return [row for row in _read_rows(text, separator, spaced=True) if row]
            if row:
                rows.append(row)
    except csv.Error as problem:
        where = f"row {len(rows)}" if rows else "the header"
        raise ValueError(f"{problem} in {where}: is a quotation mark missing?") from problem
    return rows


def _drop_unnamed(frame: "DataFrame", path: Path) -> tuple["DataFrame", tuple[str, ...]]:
    """Without the columns that have no name and say nothing; a number for each row, as data frames write, is named."""
    import polars

    indices: list[str] = []
    for place, name in enumerate(frame.columns, start=1):
        if not _UNNAMED.fullmatch(name):
            continue
        cells = frame[name].cast(polars.String).str.strip_chars()
        filled = cells.filter(cells.fill_null("") != "")
        if len(filled):
            if filled.n_unique() < frame.height or not filled.str.contains(r"^[0-9]+$").all():
                raise CorpusError(
                    f"{path}: column {place} has no name, but cells such as {filled[0]!r}: expected a name for every "
                    f"column; name it or drop it"
                )
            indices.append(str(place))
        frame = frame.drop(name)
    notes = f"left out, since it has no name and numbers the rows: column {' and '.join(indices)}"
    return frame, (notes,) if indices else ()
