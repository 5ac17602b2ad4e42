"""Accuracies with their intervals: of members, or of groups of utterances."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house
from ser_store.figures.drawing.text import count_lines, measure_names, wrap_names


def draw_accuracies(
    accuracy: ArrayLike,
    bounds: ArrayLike,
    names: Sequence[str],
    rows: Sequence[str],
    *,
    title: str,
    notes: Sequence[str] = (),
    width: house.Width = "page",
) -> house.Figure:
    """Draw accuracies with intervals, a row for each member or group, the first at the top.

    Args:
        accuracy: ``(s, r)`` in 0..1, one line of marks for each of ``s`` series; NaN where there is none.
        bounds: ``(s, r, 2)``, their intervals.
        names: of the series; the legend is left out where there is one.
        rows: names of the ``r`` rows.
        title: above the figure.
        notes: below it, a paragraph each.
        width: ``column`` or ``page``.

    Raises:
        MetricError: if the shapes do not fit each other.
    """
    shares, intervals = np.asarray(accuracy, dtype=float), np.asarray(bounds, dtype=float)
    shape = (len(names), len(rows))
    if shares.shape != shape or intervals.shape != (*shape, 2) or not shares.size:
        raise MetricError(
            f"accuracies have shape {shares.shape} and bounds {intervals.shape}: expected {shape} and {(*shape, 2)}"
        )
    labels = wrap_names(rows, 0.42 * house.WIDTHS[width])
    room = house.WIDTHS[width] - measure_names(labels)
    height = len(rows) * max(0.17, 0.1 * len(names) + 0.05, 0.13 * count_lines(labels)) + 0.5
    with house.house_style():
        legend = 0.0 if len(names) == 1 else house.measure_legend(names, room)
        figure = house.make_figure(width, height + legend, title=title, notes=notes)
        axes = figure.subplots()
        axes.grid(axis="x")
        shifts = (np.arange(len(names)) - (len(names) - 1) / 2) * 0.7 / max(len(names), 1)
        for place, (name, shift) in enumerate(zip(names, shifts, strict=True)):
            style = house.style_series(place)
            at = np.arange(len(rows)) + shift
            axes.hlines(at, *intervals[place].T, color=style["color"], lw=0.9)
            axes.plot(shares[place], at, ls="", color=style["color"], marker=style["marker"], label=name)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(np.arange(len(rows)), labels)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(right=min(1.02, axes.get_xlim()[1]))
        axes.set_xlabel("accuracy")
        house.mark_percent(axes.xaxis)
        if len(names) > 1:
            house.put_legend(axes, inches=room, points=True)
    return figure
