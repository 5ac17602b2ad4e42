"""Text fitted to the width of a terminal: lines are wrapped, tables wrap their cells; nothing is cut."""

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import combining, east_asian_width

# Where a line may end: at a space, but not within an interval, and after the signs in names of ensembles and files.
_BREAK = re.compile(r"( +(?![^\[]*\]))|(?<=[+/,])(?=[^\s+/,])")
_GAP = "  "
# No cell so narrow is wrapped: an interval, a size, a mean with its spread.
_NARROW = 14
# What a terminal would obey, such as a name of a file may hold.
_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "\N{REPLACEMENT CHARACTER}")


def measure(text: str) -> int:
    """Return how many columns of a terminal a text takes.

    >>> measure("sad"), measure("悲しい")
    (3, 6)
    """
    if text.isascii():
        return len(text)
    return sum(0 if combining(one) else 1 + (east_asian_width(one) in "WF") for one in text)


def wrap(text: str, width: int) -> list[str]:
    """Return a line as lines of at most ``width`` columns, the later ones indented by two more than the first.

    >>> wrap("best: hubert-base@900+xlsr53@1100", 22)
    ['best: hubert-base@900+', '  xlsr53@1100']
    """
    indent = " " * (len(text) - len(text.lstrip(" ")) + 2)
    return _wrap(text, width, indent=indent if len(indent) < width // 2 else "")


def _wrap(text: str, width: int, *, indent: str = "") -> list[str]:
    if measure(text) <= width:
        return [text]
    lines, line = [], ""
    for token in filter(None, _BREAK.split(text)):
        if line.strip() and measure(line + token.rstrip()) > width:
            lines.append(line.rstrip())
            line = indent + token.lstrip()
        else:
            line += token
        while measure(line.rstrip()) > width:
            most = next(n for n in range(len(line), 0, -1) if measure(line[:n]) <= width)
            cut = line.rfind("-", most // 2, most) + 1 or most
            lines.append(line[:cut])
            line = indent + line[cut:]
    return [*lines, line.rstrip()] if line.strip() else lines


@dataclass(frozen=True)
class _Column:
    """A column of a table.

    Attributes:
        name: its header.
        cells: its text, row by row.
        is_text: whether it stands to the left.
        bold: the rows that a terminal shows bold.
        widths: as it is, with its header wrapped, and with its cells wrapped.
    """

    name: str
    cells: Sequence[str]
    is_text: bool
    bold: Collection[int]
    widths: tuple[int, int, int]

    def format_head(self, width: int, height: int) -> list[str]:
        """Return the lines of the header, empty ones above."""
        lines = self._pad(self.name, width)
        return [" " * width] * (height - len(lines)) + lines

    def format_cell(self, row: int, width: int) -> list[str]:
        """Return the lines of a cell."""
        return self._pad(self.cells[row], width, "\x1b[1m{}\x1b[0m" if row in self.bold else "{}")

    def _pad(self, cell: str, width: int, style: str = "{}") -> list[str]:
        shown = [(style.format(line), " " * (width - measure(line))) for line in _wrap(cell, width)]
        return [line + padding if self.is_text else padding + line for line, padding in shown]


def lay_out(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    is_text: Sequence[bool],
    bold: Collection[tuple[int, int]] = (),
    width: int | None = None,
    keys: int = 1,
) -> Iterator[str]:
    """Yield the lines of a table, at most ``width`` columns wide.

    What is too wide gets its headers wrapped, and if that is not enough its text. What is still too wide continues
    below, after its keys again.

    Args:
        header: a name for each column.
        rows: the cells.
        is_text: which columns stand to the left.
        bold: row and column of each cell that the terminal shows bold.
        width: Default: as wide as it is.
        keys: how many columns, the first, say which row it is.
    """
    room = sys.maxsize if width is None else width
    columns = []
    for place, name in enumerate(header):
        cells = [row[place].translate(_CONTROLS) for row in rows]
        bold_rows = {row for row, column in bold if column == place}
        widths = _find_widths(name, cells, most=room // 2 - len(_GAP))
        columns.append(_Column(name, cells, is_text[place], bold_rows, widths))
    for number, group in enumerate(_group(columns, room, keys=keys)):
        if number:
            yield ""
        shown = _fit(group, room)
        sized = [*zip(group, shown, strict=True)]
        height = max(len(_wrap(column.name, size)) for column, size in sized)
        yield from _join([column.format_head(size, height) for column, size in sized], shown)
        yield _GAP.join("─" * size for size in shown)
        for row in range(len(rows)):
            yield from _join([column.format_cell(row, size) for column, size in sized], shown)


def _find_widths(name: str, cells: Sequence[str], *, most: int) -> tuple[int, int, int]:
    """Return the widths of a column as it is, with its header wrapped, and with its cells wrapped to ``most``."""
    widest, head = max(map(measure, cells), default=0), _find_widest_piece([name])
    full = max(widest, measure(name))
    # In half its width a cell takes two lines or three.
    least = min(widest, max(_NARROW, min(max(_find_widest_piece(cells), widest // 2), most)))
    return full, max(widest, head), max(least, head)


def _find_widest_piece(texts: Iterable[str]) -> int:
    return max((measure(piece) for text in texts for piece in _BREAK.split(text) if piece), default=0)


def _group(columns: Sequence[_Column], room: int, *, keys: int) -> list[list[_Column]]:
    """Return the columns that stand side by side, the keys, or the first alone, at the beginning of each group."""

    def overflows(side: Sequence[_Column]) -> bool:
        return sum(_fit(side, room)) > room - len(_GAP) * (len(side) - 1)

    if any(overflows([*columns[:keys], column]) for column in columns[keys:]):
        keys = 1
    groups = [[*columns[:keys]]]
    for column in columns[keys:]:
        side = [*groups[-1], column]
        if len(side) > keys + 1 and overflows(side):
            groups.append([*columns[:keys], column])
        else:
            groups[-1] = side
    return groups


def _fit(columns: Sequence[_Column], room: int) -> list[int]:
    """Return the widths of columns side by side: if they do not fit, headers are wrapped, then the widest cells."""
    shown = [column.widths[0] for column in columns]
    room -= len(_GAP) * (len(columns) - 1)
    if sum(shown) > room:
        shown = [column.widths[1] for column in columns]
    while sum(shown) > room:
        wide = [place for place, column in enumerate(columns) if shown[place] > column.widths[2]]
        if not wide:
            break
        shown[max(wide, key=shown.__getitem__)] -= 1
    return shown


def _join(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Yield the lines of cells that stand side by side."""
    for line in range(max(map(len, cells))):
        parts = [cell[line] if line < len(cell) else " " * size for cell, size in zip(cells, widths, strict=True)]
        yield _GAP.join(parts).rstrip()
