"""Reliability diagrams: whether members are as often right as they are sure."""

from collections.abc import Sequence

import numpy as np

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house
from ser_store.metrics.calibration import Reliability

_DIAGONAL = "as sure as right"


def draw_reliability(
    found: Sequence[Reliability],
    names: Sequence[str],
    *,
    title: str,
    notes: Sequence[str] = (),
    width: house.Width = "column",
) -> house.Figure:
    """Draw the accuracy of utterances by how sure a member is of them, and below how many these are.

    On the diagonal a member is as often right as it says; below it, it is too sure of itself.

    Args:
        found: of each member, see :func:`ser_store.metrics.calibration.compute_reliability`.
        names: of the members.
        title: above the figure.
        notes: below it, a paragraph each.
        width: ``column`` or ``page``.

    Raises:
        MetricError: if there is none, or another number of names.
    """
    if not found or len(found) != len(names):
        raise MetricError(f"{len(found)} reliabilities and {len(names)} names: expected as many, one or more")
    with house.house_style():
        height = 3.4 + house.measure_legend([_DIAGONAL, *names], house.WIDTHS[width])
        figure = house.make_figure(width, height, title=title, notes=notes)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot((0, 1), (0, 1), color=house.GREY, lw=0.8, label=_DIAGONAL)
        upper.grid()
        for place, (one, name) in enumerate(zip(found, names, strict=True)):
            holds = one.n > 0
            style = house.style_series(place)
            upper.plot(one.confidence[holds], one.accuracy[holds], label=name, **style)
            edges = np.linspace(0, 1, len(one.n) + 1)
            lower.stairs(one.n / one.n.sum(), edges, color=style["color"], ls=style["linestyle"], lw=1.0)
        upper.set_ylabel("accuracy")
        lower.set_ylabel("utterances")
        lower.set_xlabel("probability of the predicted class")
        for axis in (upper.yaxis, lower.xaxis, lower.yaxis):
            house.mark_percent(axis)
        lower.set_xlim(0, 1.02)
        upper.set_ylim(0, 1.02)
        house.put_legend(upper, inches=house.WIDTHS[width])
    return figure
