"""Results as tables of a paper: LaTeX with booktabs, Markdown, or CSV with all digits."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Literal, get_args

from ser_store.common.checks import check_choice
from ser_store.common.display import Aside, Block, Result, Table

TableFormat = Literal["latex", "markdown", "csv"]

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "…": r"\ldots{}", "±": r"\ensuremath{\pm}", "×": r"\ensuremath{\times}",
    "←": r"\ensuremath{\leftarrow}", "·": r"\ensuremath{\cdot}", "\N{NO-BREAK SPACE}": "~",
}  # fmt: skip
_MARKDOWN = {character: f"\\{character}" for character in "\\`*_|"} | {"<": "&lt;", ">": "&gt;"}
_WORD = re.compile(r"[a-z]+(?![\w@+.-])")


@dataclass
class _Captioned:
    """A table with the line above it, and the lines below it."""

    table: Table
    heading: str
    notes: list[str] = field(default_factory=list)


def check_format(form: str) -> None:
    """Refuse a format that is not known.

    >>> check_format("latx")
    Traceback (most recent call last):
    ser_store_h5.errors.UnknownNameError: unknown `form` 'latx': expected one of latex (nearest), csv, markdown
    """
    check_choice("`form`", form, sorted(get_args(TableFormat)))


def format_result(result: Result, form: TableFormat, *, blocks: Iterable[Block] | None = None) -> str:
    r"""Return a result as the tables of a paper.

    Every table has a caption: what stands above it, and of the whole result which utterances it is of, how many, and
    what was chosen; what stands below it, and the cautions, are notes. The best figures of a column are bold. CSV has
    the rows of ``to_frame()`` instead: plain numbers with all digits.

    Args:
        result: of any function of the library.
        form: ``latex``, which needs ``\usepackage{booktabs}``, ``markdown`` or ``csv``.
        blocks: what is shown of it. Default: all that ``describe()`` yields.

    Raises:
        UnknownNameError: for any other format.

    >>> import ser_store as ss
    >>> found = ss.evaluate(ss.open_example(), ["xlsr53", "hubert-base"])
    >>> print(format_result(found, "csv").splitlines()[1][:40])
    xlsr53@1100,288,267,0.9270833333333334,0
    """
    check_format(form)
    if form == "csv":
        return _format_csv(result)
    found = _caption(result.describe() if blocks is None else blocks)
    cautions = [f"Caution: {one}." for one in result.list_cautions()]
    make = _format_latex if form == "latex" else _format_markdown
    return "\n\n".join(
        make(one, _join_sentences([one.heading, result.caption()]), [*one.notes, *(cautions if place == 0 else ())])
        for place, one in enumerate(found)
    )


def _caption(blocks: Iterable[Block]) -> list[_Captioned]:
    """Give every table the line right above it as its heading, and the other lines up to the next as notes.

    A heading with an empty line above begins a section: the tables up to the next are of what it says, too.
    """
    found: list[_Captioned] = []
    lines: list[str] = []
    section = above = ""
    for block in blocks:
        if isinstance(block, Aside):
            continue
        if isinstance(block, str):
            lines += block.split("\n")
            above = block
            continue
        heading = lines.pop().strip() if lines and lines[-1].strip() else ""
        if heading and above.startswith("\n"):
            section, heading = heading, ""
        _add_notes(found, lines)
        found.append(_Captioned(block.drop_empty(), _join_sentences([section, heading])))
        lines = []
    _add_notes(found, lines)
    return found


def _add_notes(found: Sequence[_Captioned], lines: Iterable[str]) -> None:
    """Add lines to the notes of the last table; what stands above the first is said by the result's own caption."""
    if found:
        found[-1].notes += [_end(line) for line in lines if line.strip()]


def _end(text: str) -> str:
    """Return a line as a sentence, which begins with a capital unless it begins with a name."""
    text = text.strip().rstrip(".:")
    if _WORD.match(text):
        text = text[:1].upper() + text[1:]
    return f"{text}." if text else ""


def _join_sentences(parts: Iterable[str]) -> str:
    return " ".join(_end(part) for part in parts if part)


def _format_latex(one: _Captioned, caption: str, notes: Sequence[str]) -> str:
    table, best = one.table, one.table.find_best()

    def line(cells: Iterable[str]) -> str:
        text = " & ".join(cells)
        # A bracket right after a row's end would be read as its distance from the next.
        return f"{'{}' if text.startswith(('[', '*')) else ''}{text} \\\\"

    rows = [
        line(rf"\textbf{{{_escape(cell, _LATEX)}}}" if (row, column) in best else _escape(cell, _LATEX)
             for column, cell in enumerate(cells))
        for row, cells in enumerate(table.format_cells())
    ]  # fmt: skip
    columns = "".join("l" if is_text else "r" for is_text in table.find_text())
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            *([rf"\caption{{{_escape(caption, _LATEX)}}}"] if caption else []),
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            line(_escape(name, _LATEX) for name in table.header),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par{{\footnotesize {_escape(note, _LATEX)}\par}}" for note in notes),
            r"\end{table}",
        ]
    )


def _format_markdown(one: _Captioned, caption: str, notes: Sequence[str]) -> str:
    table, best = one.table, one.table.find_best()
    rows = [
        [f"**{_escape(cell, _MARKDOWN)}**" if (row, column) in best else _escape(cell, _MARKDOWN)
         for column, cell in enumerate(cells)]
        for row, cells in enumerate(table.format_cells())
    ]  # fmt: skip
    header = [_escape(name, _MARKDOWN) for name in table.header]
    sides = [":--" if is_text else "--:" for is_text in table.find_text()]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, sides, *rows)]
    above = [_escape(caption, _MARKDOWN), ""] if caption else []
    return "\n".join([*above, *lines, *(f"\n{_escape(note, _MARKDOWN)}" for note in notes)])


def _escape(text: str, marks: dict[str, str]) -> str:
    return "".join(marks.get(character, character) for character in text)


def _format_csv(result: Result) -> str:
    records = result.records()
    text = StringIO()
    if records:
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _to_plain(value) for name, value in record.items()} for record in records)
    return text.getvalue().rstrip("\n")


def _to_plain(value: object) -> object:
    """Return a number as Python writes it, all digits and no unit."""
    if isinstance(value, bool):
        return str(value).lower()
    return float(value) if isinstance(value, float) else value
