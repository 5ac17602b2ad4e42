"""Matrices of shaded cells: confusions, who disagrees with whom, accuracy by layer and head, by corpus."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house
from ser_store.figures.drawing.text import count_lines, measure_names, wrap_names
from ser_store.metrics.confusion import normalise_confusion

# Inches of a colour bar with its numbers, of an axis' name, and of a cell at most.
_BAR, _NAME, _LARGEST = 0.6, 0.2, 0.45
# Of more rows that are the columns as well, these are numbered.
_NAMED = 8


def draw_confusions(
    confusions: ArrayLike,
    classes: Sequence[str],
    names: Sequence[str],
    *,
    title: str,
    notes: Sequence[str] = (),
    width: house.Width = "page",
) -> house.Figure:
    """Draw confusion matrices; cells are shaded by the share of the true class, all on one scale.

    A single matrix is drawn twice: with the counts in its cells, and with the shares in percent. Of several, each has
    its counts.

    Args:
        confusions: ``(m, c, c)`` counts: rows true, columns predicted.
        classes: their ``c`` names.
        names: what stands above each of the ``m`` matrices.
        title: above the figure.
        notes: below it, a paragraph each.
        width: ``column`` or ``page``.

    Raises:
        MetricError: if the shapes do not fit each other.
    """
    counts = np.asarray(confusions)
    n_classes = len(classes)
    if counts.shape != (len(names), n_classes, n_classes) or not len(names):
        raise MetricError(
            f"confusion matrices have shape {counts.shape}: expected ({len(names)}, {n_classes}, {n_classes}), one or "
            "more, for these names and classes"
        )
    shares = normalise_confusion(counts)
    if len(names) == 1:
        percent = [[f"{share * 100:.0f}" for share in row] for row in shares[0]]
        panels = [("counts", shares[0], counts[0].tolist()), ("percent of the true class", shares[0], percent)]
    else:
        panels = list(zip(names, shares, counts.tolist(), strict=True))
    with house.house_style():
        return _draw_panels(panels, classes, title=title, notes=notes, width=width)


def _draw_panels(
    panels: Sequence[tuple[str, NDArray[Any], Sequence[Sequence[object]]]],
    classes: Sequence[str],
    *,
    title: str,
    notes: Sequence[str],
    width: house.Width,
) -> house.Figure:
    rows, columns = house.arrange(len(panels), most={"column": 1, "page": 2 if len(panels) < 3 else 3}[width])
    classes = wrap_names(classes, 0.25 * house.WIDTHS[width])
    labels = measure_names(classes)
    side = (house.WIDTHS[width] - labels - _NAME - _BAR) / columns - 0.1
    headings = wrap_names([name for name, _, _ in panels], side)
    heading = 0.14 * count_lines(headings)
    figure = house.make_figure(width, rows * (side + heading + 0.1) + labels + _NAME, title=title, notes=notes)
    grid = figure.subplots(rows, columns, squeeze=False)
    mesh: Any = None
    for axes, heading_of, (_, shares, texts) in zip(grid.flat, headings, panels, strict=False):
        cells = [[str(text) for text in row] for row in texts]
        mesh = house.shade_cells(axes, shares, cells, size=side / len(classes))
        axes.set_title(heading_of)
        axes.set_aspect("equal")
    _name_classes(grid, len(panels), classes)
    bar = figure.colorbar(mesh, ax=grid, shrink=min(1.0, 2.2 / (rows * side)), aspect=25, pad=0.01)
    _label_bar(bar, "share of the true class")
    return figure


def _name_classes(grid: NDArray[Any], n_panels: int, classes: Sequence[str]) -> None:
    """Name the classes beside the first column and below the lowest panel of each column; hide what is empty."""
    columns = grid.shape[1]
    for place, axes in enumerate(grid.flat):
        axes.set_visible(place < n_panels)
        is_first, is_lowest = place % columns == 0, place + columns >= n_panels
        house.label_cells(axes, rows=classes if is_first else (), columns=classes if is_lowest else ())
        axes.set_ylabel("true" if is_first else "")
        axes.set_xlabel("predicted" if is_lowest else "")


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
        _label_bar(bar, shaded)
    return figure


def _label_bar(bar: Any, shaded: str) -> None:
    bar.set_label(shaded, fontsize=house.SMALL)
    bar.ax.tick_params(labelsize=house.SMALL)
    bar.outline.set_visible(False)
    house.mark_percent(bar.ax.yaxis)
