"""Maps of representations: an utterance is a point, its class or speaker a colour and a marker."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ser_store.errors import MetricError
from ser_store.figures.drawing.style import (
    WIDTHS,
    Figure,
    Width,
    house_style,
    make_figure,
    measure_legend,
    put_legend,
    style_series,
)

_MOST_GROUPS = 56


def draw_map(
    points: ArrayLike,
    groups: ArrayLike,
    *,
    title: str,
    axes_names: tuple[str, str] = ("", ""),
    notes: Sequence[str] = (),
    width: Width = "column",
) -> Figure:
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
    side = min(WIDTHS[width] * 0.8, 4.0)
    with house_style():
        figure = make_figure(width, side + measure_legend(names, WIDTHS[width]), title=title, notes=notes)
        axes = figure.subplots()
        for place, group in enumerate(known):
            style = style_series(place)
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
        put_legend(axes, inches=WIDTHS[width], points=True)
    return figure
