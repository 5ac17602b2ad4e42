"""Learning curves: the accuracy of heads by how many utterances they were fitted on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house


def draw_learning_curves(
    curves: Sequence[ArrayLike],
    names: Sequence[str],
    *,
    title: str,
    notes: Sequence[str] = (),
    width: house.Width = "column",
) -> house.Figure:
    """Draw the accuracy by the number of training utterances, on a logarithmic axis.

    Args:
        curves: ``(p, 4)`` of each head: training utterances, accuracy, and the ends of its bar (NaN for none).
        names: of the heads.
        title: above the figure.
        notes: below it, a paragraph each.
        width: ``column`` or ``page``.

    Raises:
        MetricError: if there is no curve, or another number of names.
    """
    found = [np.asarray(curve, dtype=float) for curve in curves]
    if not found or len(found) != len(names) or any(one.ndim != 2 or one.shape[1] != 4 for one in found):
        raise MetricError(f"{len(found)} curves and {len(names)} names: expected as many, each curve of shape (p, 4)")
    with house.house_style():
        figure = house.make_figure(
            width, 2.2 + house.measure_legend(names, house.WIDTHS[width]), title=title, notes=notes
        )
        axes = figure.subplots()
        axes.grid(axis="y")
        for place, (curve, name) in enumerate(zip(found, names, strict=True)):
            style = house.style_series(place)
            axes.plot(curve[:, 0], curve[:, 1], label=name, **style)
            axes.vlines(curve[:, 0], curve[:, 2], curve[:, 3], color=style["color"], lw=0.8)
        axes.set_xscale("log")
        at = sorted({int(one) for curve in found for one in curve[:, 0]})
        axes.set_xticks(at, [f"{one:,}" for one in at], rotation=90 if len(at) > 5 else 0)
        axes.minorticks_off()
        axes.set_xlabel("training utterances")
        axes.set_ylabel("accuracy")
        house.mark_percent(axes.yaxis)
        house.put_legend(axes, inches=house.WIDTHS[width])
    return figure
