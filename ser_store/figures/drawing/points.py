"""Single figures in their place: ensembles by accuracy, utterances on a map of their representations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house

_MOST_GROUPS = 56


def draw_map(
    points: ArrayLike,
    groups: ArrayLike,
    *,
    title: str,
    axes_names: tuple[str, str] = ("", ""),
    notes: Sequence[str] = (),
    width: house.Width = "column",
) -> house.Figure:
    """Draw points of a plane, those of a group alike.

    Args:
        points: ``(n, 2)``.
        groups: ``(n,)`` names or numbers.
        title: above the figure.
        axes_names: of the horizontal and of the vertical axis.
        notes: below it, a paragraph each.
        width: ``column`` or ``page``.

    Raises:
        MetricError: if there is no point, a shape does not fit, or there are more groups than can be told apart.
    """
    at, of = np.asarray(points, dtype=float), np.asarray(groups)
    if at.shape != (len(of), 2) or not len(of):
        raise MetricError(f"points have shape {at.shape}: expected ({len(of)}, 2), one or more")
    known = np.unique(of)
    if len(known) > _MOST_GROUPS:
        raise MetricError(f"there are {len(known)} groups: expected at most {_MOST_GROUPS}, which can be told apart")
    names = [str(group) for group in known]
    side = min(house.WIDTHS[width] * 0.8, 4.0)
    with house.house_style():
        figure = house.make_figure(
            width, side + house.measure_legend(names, house.WIDTHS[width]), title=title, notes=notes
        )
        axes = figure.subplots()
        for place, group in enumerate(known):
            style = house.style_series(place)
            axes.plot(
                *at[of == group].T,
                ls="",
                color=style["color"],
                marker=style["marker"],
                ms=3.0,
                mew=0,
                label=names[place],
            )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(axes_names[0])
        axes.set_ylabel(axes_names[1])
        house.put_legend(axes, inches=house.WIDTHS[width], points=True)
    return figure


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
