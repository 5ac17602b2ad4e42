"""What the answer to a question looks like: text in a terminal, HTML in a notebook, a data frame."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from html import escape
from itertools import compress, groupby
from typing import TYPE_CHECKING, Any

from ser_store.common.layout import lay_out

if TYPE_CHECKING:
    from polars import DataFrame

# Characters of a field's value in a representation, and lines of the whole.
_MAX_FIELD, _MAX_LINES = 60, 10
_BARS = "▁▂▃▄▅▆▇█"
_EMPTY = ("None", "()", "[]", "{}", "''")


@dataclass(frozen=True)
class Table:
    """A table of figures.

    Attributes:
        header: a name for each column.
        rows: the cells; text stands to the left, everything else to the right.
        best: which of its figures is the best of a column, ``max`` or ``min``, by the column's header.
        keys: how many columns, the first, say which row it is; they stand again where a wide table goes on below.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    best: Mapping[str, Callable[[Iterable[Any]], Any]] = field(default_factory=dict)
    keys: int = 1

    def __str__(self) -> str:
        """Columns padded to their widest cell.

        >>> print(Table(["member", "n"], [["xlsr53@100", 288], ["mfcc", 12]]))
        member        n
        ──────────  ───
        xlsr53@100  288
        mfcc         12
        """
        return self.fit()

    def fit(self, width: int | None = None, *, bold: bool = False) -> str:
        """Return the table as text, at most ``width`` characters wide, its best figures in a terminal's bold.

        >>> print(Table(["member", "balanced accuracy"], [["xlsr53@100", Percent(0.5)]]).fit(20))
                    balanced
        member      accuracy
        ──────────  ────────
        xlsr53@100    50.00%
        """
        shown = self.drop_empty()
        marked = shown.find_best() if bold else ()
        looks: dict[str, Any] = {"is_text": shown.find_text(), "bold": marked, "width": width, "keys": shown.keys}
        lines = lay_out(shown.header, shown.format_cells(), **looks)
        return "\n".join(lines)

    def to_html(self) -> str:
        """Return the table as an HTML element, all text escaped, its best figures bold."""
        shown = self.drop_empty()
        sides = ["left" if is_text else "right" for is_text in shown.find_text()]
        best = shown.find_best()

        def row(cells: Sequence[str], tag: str) -> str:
            return "".join(
                f'<{tag} style="text-align:{side}">{cell}</{tag}>' for cell, side in zip(cells, sides, strict=True)
            )

        def mark(cell: str, row: int, column: int) -> str:
            return f"<b>{escape(cell)}</b>" if (row, column) in best else escape(cell)

        body = "".join(
            f"<tr>{row([mark(cell, place, column) for column, cell in enumerate(cells)], 'td')}</tr>"
            for place, cells in enumerate(shown.format_cells())
        )
        head = row([escape(name) for name in shown.header], "th")
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def drop_empty(self) -> "Table":
        """Return the table without the columns in which no row says anything."""
        if not self.rows:
            return self
        said = [any(cell not in (None, "") for cell in column) for column in zip(*self.rows, strict=True)]
        rows = [[*compress(row, said)] for row in self.rows]
        return self if all(said) else Table([*compress(self.header, said)], rows, self.best, self.keys)

    def find_best(self) -> set[tuple[int, int]]:
        """Return row and column of the best figures of those columns that have a best; of a single figure none."""
        best = set()
        for column, name in enumerate(self.header):
            numbers = {row: cells[column] for row, cells in enumerate(self.rows) if isinstance(cells[column], float)}
            if name in self.best and len(numbers) > 1:
                # As they are printed: of figures that look alike none is better.
                highest = str(self.best[name](numbers.values()))
                best |= {(row, column) for row, number in numbers.items() if str(number) == highest}
        return best

    def format_cells(self) -> list[list[str]]:
        """Return the cells as they are printed."""
        return [["" if cell is None else str(cell) for cell in row] for row in self.rows]

    def find_text(self) -> list[bool]:
        """Return which columns hold text."""
        places = range(len(self.header))
        return [bool(self.rows) and all(isinstance(row[place], str) for row in self.rows) for place in places]


Block = str | Table


class Aside(str):
    """A line that a paper has no use for: its caption says it, or it tells where a file lies."""


class Picture(Aside):
    """A picture made of letters, for terminals that have them."""


class Result:
    """The answer to a question: it prints as the command prints it, and stays short where it is only shown.

    A subclass is a frozen dataclass with ``repr=False``. It says what it looks like in :meth:`describe`, and what its
    data frame holds in :meth:`records`. Its ``cautions``, if it has any, stand above everything else.
    """

    def describe(self) -> Iterable[Block]:
        """Yield the lines and tables that the command prints."""
        raise NotImplementedError

    def records(self) -> list[dict[str, Any]]:
        """Yield a dictionary for each row of the data frame, all with the same keys."""
        raise NotImplementedError

    def to_json(self) -> Any:
        """Return the document that the command prints with ``--json``."""
        raise NotImplementedError

    def caption(self) -> str:
        """Return what a table of it says in a paper: which utterances it is of, how many, and what was chosen."""
        return ""

    def to_frame(self) -> "DataFrame":
        """Return the result as a polars data frame; ``.to_pandas()`` of it gives a pandas one."""
        import polars

        return polars.DataFrame(self.records(), infer_schema_length=None)

    def __str__(self) -> str:
        return "\n".join(map(str, self._describe_with_cautions()))

    def _repr_html_(self) -> str:
        parts = []
        for is_text, blocks in groupby(self._describe_with_cautions(), lambda block: isinstance(block, str)):
            if is_text:
                lines = "\n".join(map(str, blocks)).strip("\n")
                parts.append(f"<pre>{escape(lines)}</pre>" if lines else "")
            else:
                parts += [block.to_html() for block in blocks if isinstance(block, Table)]
        return "".join(parts)

    def _describe_with_cautions(self) -> Iterator[Block]:
        yield from (f"caution: {caution}" for caution in self.list_cautions())
        yield from self.describe()

    def list_cautions(self) -> Sequence[str]:
        """Return why what is printed may mislead, a line each."""
        cautions: Sequence[str] = getattr(self, "cautions", ())
        return cautions

    def __repr__(self) -> str:
        """One line for each field that is not empty, at most ten: what is long is counted."""
        own = {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]  # a dataclass
        shown = [f"    {name}={text}," for name, value in own.items() if (text := summarise(value)) not in _EMPTY]
        room = _MAX_LINES - 2
        if len(shown) > room:
            shown = [*shown[: room - 1], f"    … {len(shown) - room + 1} more fields"]
        return "\n".join([f"{type(self).__name__}(", *shown, ")"])


def summarise(value: object) -> str:
    """Describe a value in a few characters: the length of what is long, the shape and dtype of an array.

    >>> import numpy as np
    >>> print(summarise(0.5), summarise(("a",) * 84), summarise(np.zeros((8, 8))))
    0.5 <84 × str> <8 × 8 float64>
    """
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        return f"<{' × '.join(map(str, shape))} {dtype}>" if shape else repr(value)
    text = repr(value)
    if len(text) <= _MAX_FIELD and "\n" not in text:
        return text
    if isinstance(value, tuple | list | set | frozenset):
        kinds = {type(one).__name__ for one in value}
        return f"<{len(value)} × {kinds.pop() if len(kinds) == 1 else 'object'}>"
    if isinstance(value, dict):
        return f"<{len(value)} entries>"
    return f"{text[:_MAX_FIELD]}…" if isinstance(value, str) else f"<{type(value).__name__}>"


class Percent(float):
    """A share of one that prints as a percentage and stands to the right in a table."""

    def __str__(self) -> str:
        return f"{self * 100:.2f}%"


class Points(float):
    """A difference of shares that prints as signed percentage points and stands to the right in a table."""

    def __str__(self) -> str:
        return f"{self * 100:+.2f}"


class Figure(float):
    """A number that prints with three decimals."""

    def __str__(self) -> str:
        return f"{float(self):.3f}"


def maybe_figure(value: float | None) -> Figure | None:
    """Return the figure, or None where there is none."""
    return None if value is None else Figure(value)


def draw_bars(heights: Sequence[float]) -> str:
    """Draw a bar for each number, from none for 0 to a full one for the highest.

    >>> draw_bars([0, 1, 4, 8])
    ' ▁▄█'
    """
    highest = max(heights)
    return "".join(_BARS[int(-(-height * len(_BARS) // highest)) - 1] if height > 0 else " " for height in heights)


def format_interval(bounds: Sequence[float]) -> str:
    """Format bounds that are shares of one, in percent.

    >>> format_interval((0.9123, 0.95))
    '[91.2, 95.0]'
    """
    return f"[{bounds[0] * 100:.1f}, {bounds[1] * 100:.1f}]"


def format_bytes(size: float) -> str:
    """Format bytes in decimal units, as the sizes of checkpoints are published.

    >>> format_bytes(1265986080)
    '1.27 GB'
    """
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def format_count(n: int, noun: str) -> str:
    """A number of things, one or several.

    >>> format_count(1, "member"), format_count(2, "member")
    ('1 member', '2 members')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
