"""What commands print: tables for people, JSON for programs."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import typer
from typer.models import OptionInfo


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=1, default=str))


def name_options(text: str, command: Callable[..., None]) -> str:
    """Put the options of ``command`` for its parameters that ``text`` names in backticks.

    The library speaks of parameters, the command of options: of the library's `` `min_accuracy` is 92`` the command
    makes ``--min-accuracy is 92``. A parameter of the library is found by the name of the command's parameter.
    """
    hints = get_type_hints(command, include_extras=True) if "`" in text else {}
    options = {
        name: str(info.default)  # in ``Annotated`` typer takes an option's name for its default
        for name, hint in hints.items()
        for info in getattr(hint, "__metadata__", ())
        if isinstance(info, OptionInfo)
    }
    return re.sub(r"`(\w+)`", lambda named: options.get(named[1], named[0]), text)


def format_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns padded to their widest cell; text to the left, everything else to the right."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    is_text = [all(isinstance(row[place], str) for row in rows) and bool(rows) for place in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(row, widths, is_text, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(header), "  ".join("─" * width for width in widths), *map(line, cells)])


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    typer.echo(format_table(header, rows))


class Percent(float):
    """A share of one that prints as a percentage and stands to the right in a table."""

    def __str__(self) -> str:
        return f"{self * 100:.2f}%"


class Figure(float):
    """A number that prints with three decimals."""

    def __str__(self) -> str:
        return f"{float(self):.3f}"


def maybe_figure(value: float | None) -> Figure | None:
    return None if value is None else Figure(value)


def format_interval(bounds: Sequence[float]) -> str:
    return f"[{bounds[0] * 100:.1f}, {bounds[1] * 100:.1f}]"


def format_bytes(size: float) -> str:
    """Decimal units, as the sizes of checkpoints are published.

    >>> format_bytes(1265986080)
    '1.27 GB'
    """
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
