"""The tables that come with a corpus: every row about the recordings that have its key."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ser_store.common.tables import READABLE, load_table
from ser_store.corpora.published.page import Page, TablePage
from ser_store.corpora.texts import unwrap_id
from ser_store.errors import CorpusError

Row = Mapping[str, str]
Key = tuple[str, ...]

# Quotation marks and dashes of Windows that were taken for Latin-1 when a table was saved as UTF-8.
_MISREAD = re.compile("[\x80-\x9f]")


def load_rows(page: Page, table: TablePage, files: Sequence[Path], folder: Path) -> dict[Key, Row]:
    """Return the rows of a table by their key; of several with one key the first.

    Raises:
        CorpusError: if the table is needed and not below ``folder``, or no file of it has such rows or columns.
    """
    found = [(path, match) for path in files if (match := table.files.fullmatch(path.as_posix()))]
    rows: dict[Key, Row] = {}
    for path, match in found:
        own = {field: code or "" for field, code in match.groupdict().items()}
        for row in _iter_rows(table, path):
            whole = {**own, **row}
            rows.setdefault(make_key(table, whole), whole)
    if not rows and table.required:
        got = f"{found[0][0]} holds no row of it" if found else "there is none"
        raise CorpusError(
            f"{folder} lacks the labels of {page.short}, which stand in {table.name}: {got}; name the folder that "
            f"holds them and the recordings as `audio`"
        )
    return rows


def make_key(table: TablePage, codes: Row) -> Key:
    """Return what joins a recording to the rows about it: names of files without folder and suffix."""
    return tuple(unwrap_id(codes.get(field, "")) for field in table.key)


def _iter_rows(table: TablePage, path: Path) -> Iterator[Row]:
    if table.line is not None:
        for line in _decode(path).splitlines():
            match = table.line.fullmatch(line.strip())
            if match is not None:
                yield {field: code or "" for field, code in match.groupdict().items()}
        return
    if path.suffix.lower() not in READABLE:
        return
    frame = load_table(path).frame
    lacking = [header for header in table.columns.values() if header not in frame.columns]
    if lacking:
        raise CorpusError(
            f"{path} has no column {lacking[0]!r}: expected {', '.join(table.columns.values())}, found "
            f"{', '.join(frame.columns[:12])}; is it of another release?"
        )
    cells = {
        field: ["" if cell is None else _mend(str(cell)).strip() for cell in frame.get_column(header).to_list()]
        for field, header in table.columns.items()
    }
    for row in zip(*cells.values(), strict=True):
        yield dict(zip(cells, row, strict=True))


def _decode(path: Path) -> str:
    content = path.read_bytes()
    try:
        return unicodedata.normalize("NFC", content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _mend(content.decode("latin-1"))


def _mend(text: str) -> str:
    mended = _MISREAD.sub(lambda mark: mark[0].encode("latin-1").decode("cp1252", errors="replace"), text)
    return unicodedata.normalize("NFC", mended)
