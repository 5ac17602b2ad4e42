"""Matrices of shaded cells: who disagrees with whom, accuracy by layer and head, by training and test corpus."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house
from ser_store.figures.drawing.text import count_lines, measure_names, wrap_names

# Inches of a colour bar with its numbers, of an axis' name, and of a cell at most.
_BAR, _NAME, _LARGEST = 0.6, 0.2, 0.45
# Of more rows that are the columns as well, these are numbered.
_NAMED = 8


def draw_matrix(
    shares: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    shaded: str,
    names: tuple[str, str] = ("", ""),
    from_zero: bool = False,
    digits: int = 1,
    notes: Sequence[str] = (),
    width: house.Width = "page",
) -> house.Figure:
    """Draw a matrix of shares in percent.

    Args:
        shares: ``(r, c)`` in 0..1; NaN where there is none.
        rows: ``r`` names, beside them.
        columns: ``c`` names, below.
        title: above the figure.
        shaded: what the shares are, beside the bar of shades.
        names: of the vertical and of the horizontal axis.
        from_zero: whether white is 0; else it is the least share that occurs.
        digits: decimals of the percents.
        notes: below it, a paragraph each.
        width: ``column`` or ``page``.

    Raises:
        MetricError: if the shapes do not fit each other, or there is no share.
    """
    cells = np.asarray(shares, dtype=float)
    if cells.shape != (len(rows), len(columns)) or not np.isfinite(cells).any():
        raise MetricError(
            f"shares have shape {cells.shape}: expected ({len(rows)}, {len(columns)}), one or more of them"
        )
    if list(rows) == list(columns) and len(rows) > _NAMED:
        rows = [f"{name}  {place}" for place, name in enumerate(rows, start=1)]
        columns = [str(place) for place in range(1, len(rows) + 1)]
    least, most = (0.0 if from_zero else float(np.nanmin(cells))), float(np.nanmax(cells))
    rows, columns = wrap_names(rows, 0.4 * house.WIDTHS[width]), wrap_names(columns, 1.5)
    beside = measure_names(rows) + _NAME
    below = (measure_names(columns) if max(map(len, columns)) > 2 else 0.12) + _NAME
    across = min(_LARGEST, (house.WIDTHS[width] - beside - _BAR - 0.2) / len(columns))
    down = max(min(across, _LARGEST * 0.7), 0.13 * count_lines(rows))
    texts = [["" if np.isnan(one) else f"{one * 100:.{digits}f}" for one in row] for row in cells]
    with house.house_style():
        figure = house.make_figure(width, max(down * len(rows), 0.8) + below + 0.25, title=title, notes=notes)
        axes = figure.subplots()
        mesh = house.shade_cells(axes, cells, texts, size=min(down, across), least=least, most=max(most, least + 1e-9))
        house.label_cells(axes, rows=rows, columns=columns, across=across)
        axes.set_ylabel(names[0])
        axes.set_xlabel(names[1])
        axes.set_aspect(down / across)
        axes.set_anchor("NW")
        # Beside the matrix, which may be narrower than the figure.
        wide, tall = across * len(columns), down * len(rows)
        beside_it = axes.inset_axes((1 + 0.1 / wide, 1 - min(1.0, 2.0 / tall), 0.1 / wide, min(1.0, 2.0 / tall)))
        bar = figure.colorbar(mesh, cax=beside_it)
        bar.set_label(shaded, fontsize=house.SMALL)
        bar.ax.tick_params(labelsize=house.SMALL)
        bar.outline.set_visible(False)
        house.mark_percent(bar.ax.yaxis)
    return figure
