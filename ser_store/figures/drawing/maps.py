"""Maps of representations: an utterance is a point, its class or speaker a colour and a marker."""

from collections.abc import Sequence

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
