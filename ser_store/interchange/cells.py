"""The cells of a table's columns, read as names or as numbers."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ser_store.corpora.texts import is_missing, normalise_text
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Column

# Names are file stems and words. A longer one is no name, and all the others would be kept at its width.
MAX_TEXT = 1_000


class Cells:
    """The columns of a polars data frame; ``known`` names are taken as they are, all others are normalised."""

    def __init__(self, table: Any, path: Path, known: Collection[str]) -> None:
        self.path = path
        self._table = table
        self._known = known

    @property
    def headers(self) -> list[str]:
        """The names of the columns, in their order."""
        return list(self._table.columns)

    def read_text(self, column: str, *, with_empty: bool = False) -> NDArray[np.str_]:
        """Return names ``(n,)`` str; none of them empty, unless ``with_empty``.

        Raises:
            CorpusError: if the column holds anything else.
        """
        import polars

        series = self._table.get_column(column)
        kind = series.dtype
        if kind.is_float() or kind.is_nested() or kind in (polars.Binary, polars.Object):
            raise CorpusError(f"{self.path}: column {column} holds {kind}: expected names, as text or whole numbers")
        text = series.cast(polars.String).fill_null("")
        if text.str.contains("\0", literal=True).any() or text.str.len_chars().max() > MAX_TEXT:
            raise CorpusError(
                f"{self.path}: column {column} holds NUL or more than {MAX_TEXT} characters: expected names"
            )
        names = [name if name in self._known else normalise_text(name) for name in text.to_list()]
        if not with_empty and "" in names:
            raise CorpusError(
                f"{self.path}: column {column} is empty in row {names.index('') + 1}: expected a value in every row"
            )
        return np.array(names, dtype=np.str_)

    def read_cells(self, column: str) -> list[str]:
        """Return every cell as text without white space at its ends, whatever the column holds; empty if null."""
        return ["" if cell is None else normalise_text(str(cell)) for cell in self._table.get_column(column).to_list()]

    def read_steps(self) -> NDArray[np.str_]:
        """Return the column ``step`` in plain decimal digits ``(n,)``, so that 0100 and 100 are one step.

        Raises:
            CorpusError: if a cell is no whole number.
        """
        unique, places = np.unique(self.read_text("step"), return_inverse=True)
        for step in unique.tolist():
            if not (step.isascii() and step.isdigit()):
                raise CorpusError(f"{self.path}: step {step!r}: expected whole numbers of at least 0")
        return np.array([step.lstrip("0") or "0" for step in unique.tolist()], dtype=np.str_)[places]

    def holds_numbers(self, column: str) -> bool:
        """Return whether every cell that is filled is a number."""
        cast = _cast(self._table.get_column(column), np.float64)
        return bool(cast.null_count() == self._table.get_column(column).null_count() < len(cast))

    def holds_text(self, column: str) -> bool:
        """Return whether no cell is a number."""
        return bool(_cast(self._table.get_column(column), np.float64).null_count() == self._table.height)

    def read_numbers(
        self, columns: Sequence[str], dtype: DTypeLike = np.float64, *, meant: str = "logits"
    ) -> NDArray[Any]:
        """Return numbers ``(n, c)``, which may be infinite; NaN where a cell is empty.

        Args:
            meant: what the columns are taken for, which a refusal says.

        Raises:
            CorpusError: if a cell is no number.
        """
        numbers = np.empty((self._table.height, len(columns)), dtype=dtype)
        for place, column in enumerate(columns):
            series = self._table.get_column(column)
            cast = _cast(series, dtype)
            unread = cast.is_null() & series.is_not_null()
            if unread.any():
                row = unread.arg_max()
                way_out = f"if it holds the true labels, say `label` {column}, and if it is no class, drop it"
                raise CorpusError(
                    f"{self.path}: column {column} must hold {meant}, but row {row + 1} has {series[row]!r}: expected "
                    f"numbers; {way_out if meant == 'logits' else 'mend it, or drop the column'}"
                )
            numbers[:, place] = cast.fill_null(np.nan).to_numpy()
        return numbers

    def read_column(self, column: str, rows: NDArray[np.intp]) -> Column:
        """Return the cells in ``rows`` as a corpus keeps them: int64 or float64 where all are numbers, else text.

        Text with zeros in front is no number: fold 01 is not fold 1.
        """
        every = self.read_cells(column)
        cells = [every[row] for row in rows.tolist()]
        filled = [cell for cell in cells if not is_missing(cell)]
        if not self.holds_numbers(column) or any(_is_padded(cell) for cell in filled):
            return np.array([cell.replace("\0", "") for cell in cells], dtype=np.str_)
        numbers = self.read_numbers([column])[rows, 0]
        is_whole = len(filled) == len(cells) and all(cell.lstrip("+-").isdecimal() for cell in filled)
        kept: Column = numbers.astype(np.int64) if is_whole and np.abs(numbers).max() < 2**53 else numbers
        return kept


def _is_padded(cell: str) -> bool:
    digits = cell.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdecimal()


def _cast(series: Any, dtype: DTypeLike) -> Any:
    """Null where it is no number. Text becomes float32 at once: by way of float64 it would be rounded twice."""
    import polars

    kind = polars.Float32 if np.dtype(dtype) == np.float32 else polars.Float64
    if series.dtype == polars.String:
        series = series.str.strip_chars()
    elif not series.dtype.is_numeric():
        return polars.Series([None] * len(series), dtype=kind)
    return series.cast(kind, strict=False)
