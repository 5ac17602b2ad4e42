"""What all figures share: sizes, type, colours, and files that are the same bytes for the same figure."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice
from ser_store.errors import StoreError, require

matplotlib: Any = require("matplotlib")
from matplotlib.axes import Axes as Axes  # noqa: E402 - a missing extra is told by the line above
from matplotlib.figure import Figure as Figure  # noqa: E402
from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: E402

from ser_store.figures.drawing.text import FONT, count_lines, measure_text, wrap_names, wrap_text  # noqa: E402

Width = Literal["column", "page"]
# Inches of one column of a two-column page, and of both.
WIDTHS: Final[dict[Width, float]] = {"column": 3.5, "page": 7.16}
# Points: titles and axes, ticks, and what stands below or in a cell.
TEXT, TICKS, SMALL = 8.0, 7.0, 6.5
LINE = 1.25
MARGIN = 0.04
# Okabe and Ito's colours, which colour-blind readers tell apart, but the yellow, too light for lines on white; in grey
# the markers and dashes beside them tell.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: Final[tuple[Any, ...]] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
GREY = "#777777"
FAINT = "#767676"  # the lightest grey that is read on white (WCAG 2.1: 4.5 to 1)
# White to dark blue: every step is darker than the one before, in grey as well.
SHADES = "Blues"
_LIGHTEST_WITH_WHITE = 0.179  # luminance at which black and white contrast alike (WCAG 2.1)

_PARAMETERS: Final[dict[str, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#444444",
    "axes.labelsize": TEXT,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": TICKS,
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.03,
    "font.family": FONT,
    "font.size": TEXT,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "legend.fontsize": TICKS,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "svg.fonttype": "none",
    "svg.hashsalt": "serstore",
    "text.parse_math": False,
    "xtick.labelsize": TICKS,
    "ytick.labelsize": TICKS,
}
_METADATA: Final[dict[str, dict[str, str | None]]] = {
    ".svg": {"Date": None, "Creator": "serstore"},
    ".pdf": {"CreationDate": None, "Creator": "serstore", "Producer": None},
    ".png": {"Software": "serstore"},
}
SUFFIXES = tuple(_METADATA)


@contextmanager
def house_style() -> Iterator[None]:
    """Within, figures look as ours do, whatever the reader's own settings of matplotlib are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_PARAMETERS)
        yield


def check_width(width: Width) -> float:
    """Return the inches of a width.

    >>> check_width("column")
    3.5
    """
    check_choice("`width`", width, get_args(Width))
    return WIDTHS[width]


def make_figure(width: Width, height: float, *, title: str, notes: Sequence[str] = ()) -> Figure:
    """Return an empty figure with a title above and notes below, wrapped to its width.

    Args:
        width: ``column`` or ``page``.
        height: inches of what is drawn; title and notes come on top.
        title: what is seen: of whom, on which utterances.
        notes: how to read it, and why it may mislead, each in a paragraph.
    """
    inches = check_width(width)
    room = (inches - 2 * MARGIN) * 0.97  # on the dots of a picture letters are up to 3% wider
    above = wrap_text(title, room, TEXT)
    below = [line for note in notes for line in wrap_text(note, room, SMALL)]
    height += (len(above) * TEXT + len(below) * SMALL) * LINE / 72 + 0.15
    figure = Figure(figsize=(inches, height), layout="constrained")
    edge = MARGIN / inches
    figure.suptitle("\n".join(above), x=edge, ha="left", fontsize=TEXT, linespacing=LINE)
    if below:
        figure.supxlabel("\n".join(below), x=edge, ha="left", fontsize=SMALL, color="#333333", linespacing=LINE)
    return figure


def choose_ink(shade: Sequence[float]) -> str:
    """Return whether text on a shade, red, green and blue in 0..1, is read better in ``black`` or in ``white``.

    >>> choose_ink((1.0, 1.0, 1.0)), choose_ink((0.0, 0.2, 0.5))
    ('black', 'white')
    """
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in shade[:3]]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return "black" if luminance > _LIGHTEST_WITH_WHITE else "white"


def style_series(place: int) -> dict[str, Any]:
    """Return colour, marker and dashes of the line at a place; 56 differ in colour or marker.

    >>> style_series(0)["marker"], style_series(7)["marker"]
    ('o', '*')
    """
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place % len(DASHES)],
    }


def shade_cells(
    axes: Axes,
    shares: NDArray[Any],
    texts: Sequence[Sequence[str]],
    *,
    size: float,
    most: float = 1.0,
    least: float = 0.0,
) -> Any:
    """Draw a matrix of shaded cells, the first row at the top, each with its text; return what a colour bar needs.

    Args:
        axes: where.
        shares: ``(rows, columns)``; a cell of NaN stays empty.
        texts: what stands in each cell; left out where letters would be smaller than four points.
        size: inches of a cell's shorter side.
        most: what the darkest shade stands for.
        least: what white stands for.
    """
    mesh = axes.pcolormesh(np.ma.masked_invalid(shares), cmap=SHADES, vmin=least, vmax=most, ec="white", lw=0.4)
    axes.set_ylim(len(shares), 0)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    longest = max((len(text) for row in texts for text in row), default=1)
    points = min(TICKS, 72 * size * 0.55, 72 * size * 1.35 / max(longest, 1))
    colours = np.asarray(mesh.to_rgba(np.ma.masked_invalid(shares)))
    for row, cells in enumerate(texts if points >= 4 else ()):
        for column, text in enumerate(cells):
            if np.isnan(shares[row, column]):
                continue
            ink = FAINT if text == "0" else choose_ink(colours[row, column].tolist())
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=points, color=ink)
    return mesh


def label_cells(axes: Axes, *, rows: Sequence[str] = (), columns: Sequence[str] = (), across: float = math.inf) -> None:
    """Write names beside the rows and below the columns of a matrix of cells, ``across`` inches wide each."""
    axes.set_yticks(np.arange(len(rows)) + 0.5, list(rows))
    longest = max(map(len, columns), default=0)
    fitting = {"rotation": 90} if longest > 2 else {"fontsize": min(TICKS, 72 * across / max(longest, 1))}
    axes.set_xticks(np.arange(len(columns)) + 0.5, list(columns), **fitting)


def mark_percent(axis: Any) -> None:
    """Let an axis of shares read in percent, with no more decimals than it takes."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:.6g}%"))


def mark_steps(axis: Any) -> None:
    """Let an axis of steps have whole ones."""
    axis.set_major_locator(MaxNLocator("auto", integer=True))


def measure_legend(names: Sequence[str], inches: float) -> float:
    """Return the inches that :func:`put_legend` takes above axes."""
    labels, columns = _arrange_legend(names, inches)
    return 0.14 * count_lines(labels) * math.ceil(len(labels) / columns)


def put_legend(axes: Axes, *, inches: float, points: bool = False) -> None:
    """Put the legend above the axes, at their left, within ``inches``; ``points``: of markers without lines."""
    handles, names = axes.get_legend_handles_labels()
    if names:
        labels, columns = _arrange_legend(names, inches)
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, "borderpad": 0}
        axes.legend(handles, labels, **place, ncols=columns, handlelength=1.0 if points else 2.0)


def _arrange_legend(names: Sequence[str], inches: float) -> tuple[list[str], int]:
    """Return the names, wrapped where they have to be, and how many stand side by side."""
    labels = wrap_names(names, inches - 0.9)
    widest = max(measure_text(line, TICKS) for label in labels for line in label.split("\n"))
    return labels, max(1, int((inches - 0.5) / (widest + 0.5)))


def arrange(n: int, *, most: int) -> tuple[int, int]:
    """Return rows and columns for ``n`` panels, at most so many side by side and none of the rows nearly empty.

    >>> arrange(6, most=3), arrange(4, most=3), arrange(1, most=3)
    ((2, 3), (2, 2), (1, 1))
    """
    rows = math.ceil(n / most)
    return rows, math.ceil(n / rows)


def check_suffix(path: Path) -> str:
    """Return how a figure's file ends, or refuse it.

    Raises:
        StoreError: if it is none of the types that are written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise StoreError(f"{path}: is of type {path.suffix!r}: expected a name that ends in {', '.join(SUFFIXES)}")
    return suffix


def save_figure(figure: Figure, file: Any, suffix: str) -> None:
    """Write a figure as SVG, PDF or PNG (300 dots an inch): text stays text, and the bytes hold no date."""
    with house_style():
        figure.savefig(file, format=suffix[1:], metadata=_METADATA[suffix])
