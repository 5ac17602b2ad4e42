"""Confusion matrices: one in counts and in shares side by side, or several on one scale."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house
from ser_store.figures.drawing.text import count_lines, measure_names, wrap_names
from ser_store.metrics.confusion import normalise_confusion

# Inches of a colour bar with its numbers, and of an axis' name.
_BAR, _NAME = 0.6, 0.2


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
    bar.set_label("share of the true class", fontsize=house.SMALL)
    bar.ax.tick_params(labelsize=house.SMALL)
    bar.outline.set_visible(False)
    house.mark_percent(bar.ax.yaxis)
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
