"""How many ensembles have how many utterances right, and where the chosen one stands among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house

_MOST_BARS = 80


@dataclass(frozen=True)
class Mark:
    """A figure that is marked on the axis of accuracies.

    Attributes:
        label: what it is.
        value: in 0..1.
        bounds: its interval, or None.
    """

    label: str
    value: float
    bounds: tuple[float, float] | None = None


def draw_distribution(
    correct: ArrayLike,
    ensembles: ArrayLike,
    n: int,
    marks: Sequence[Mark],
    *,
    title: str,
    notes: Sequence[str] = (),
    width: house.Width = "page",
) -> house.Figure:
    """Draw a histogram of the accuracies of all ensembles, with figures marked on it.

    Args:
        correct: ``(d,)`` numbers of utterances right that occur, ascending.
        ensembles: ``(d,)`` how many ensembles have them.
        n: utterances.
        marks: at most four, drawn from the top down in their order.
        title: above the figure.
        notes: below it, a paragraph each.
        width: ``column`` or ``page``.

    Raises:
        MetricError: if there is no ensemble, or the arrays do not fit each other.
    """
    right, counts = np.asarray(correct), np.asarray(ensembles)
    if right.shape != counts.shape or right.ndim != 1 or not counts.sum():
        raise MetricError(f"{right.shape} numbers right and {counts.shape} of ensembles: expected as many, one or more")
    per_bar = -(-int(right[-1] - right[0] + 1) // _MOST_BARS)
    edges = np.arange(right[0], right[-1] + per_bar + 1, per_bar)
    heights, _ = np.histogram(right, bins=edges, weights=counts)
    with house.house_style():
        figure = house.make_figure(
            width,
            2.2 + house.measure_legend([mark.label for mark in marks] or [""], house.WIDTHS[width]),
            title=title,
            notes=notes,
        )
        axes = figure.subplots()
        axes.bar((edges[:-1] + (per_bar - 1) / 2) / n, heights / counts.sum(), width=per_bar / n * 0.9, color="#BBBBBB")
        most = float(heights.max() / counts.sum())
        for place, mark in enumerate(marks):
            style: dict[str, Any] = {
                "color": (*house.COLOURS[:2], house.GREY, house.COLOURS[2])[place],
                "ls": ("-", (0, (4, 1.5)), ":", "-.")[place],
            }
            axes.axvline(mark.value, lw=1.2, label=mark.label, **style)
            if mark.bounds is not None:
                height = most * (1.04 + 0.06 * place)
                axes.plot(mark.bounds, (height, height), color=style["color"], lw=1.2, marker="|", ms=5)
        axes.set_xlabel("accuracy")
        axes.set_ylabel("share of the ensembles")
        house.mark_percent(axes.xaxis)
        house.mark_percent(axes.yaxis)
        house.put_legend(axes, inches=house.WIDTHS[width])
    return figure
