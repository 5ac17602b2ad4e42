"""Members beside each other: accuracies with intervals, reliability, and which utterances each gets right."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house
from ser_store.figures.drawing.text import count_lines, measure_names, wrap_names
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


def draw_difficulty(
    right: ArrayLike, names: Sequence[str], *, title: str, notes: Sequence[str] = (), width: house.Width = "page"
) -> house.Figure:
    """Draw a row for each member, dark where it is wrong, and above how many members get each utterance right.

    Args:
        right: ``(m, n)`` bool: which utterances each member predicts right. Members are drawn the most accurate first,
            utterances from those that all get right to those that none does; equals stay in their order.
        names: of the members.
        title: above the figure.
        notes: below it, a paragraph each.
        width: ``column`` or ``page``.

    Raises:
        MetricError: if there is no answer, or another number of names.
    """
    answers = np.asarray(right, dtype=bool)
    if answers.ndim != 2 or len(answers) != len(names) or not answers.size:
        raise MetricError(f"answers have shape {answers.shape}: expected ({len(names)}, n), a row for each member")
    members = np.argsort(-answers.sum(axis=1), kind="stable")
    shares = answers.mean(axis=0)
    utterances = np.argsort(-shares, kind="stable")
    with house.house_style():
        labels = wrap_names([names[place] for place in members], 0.42 * house.WIDTHS[width])
        each = (0.14 if len(names) <= 24 else 0.09) * count_lines(labels)
        figure = house.make_figure(width, each * len(names) + 1.2, title=title, notes=notes)
        ratios = (0.7, each * len(names))
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
        edges = np.arange(answers.shape[1] + 1) / answers.shape[1]
        upper.stairs(shares[utterances], edges, color=house.COLOURS[0], fill=True)
        upper.set_ylim(0, 1)
        upper.set_ylabel("members\nright", fontsize=house.TICKS)
        house.mark_percent(upper.yaxis)
        wrong = ~answers[np.ix_(members, utterances)]
        lower.imshow(
            wrong, cmap="Greys", vmin=0, vmax=1.25, aspect="auto", extent=(0, 1, len(names), 0), interpolation="none"
        )
        lower.set_yticks(
            np.arange(len(names)) + 0.5, labels, fontsize=min(house.TICKS, each / count_lines(labels) * 55)
        )
        lower.tick_params(axis="y", length=0)
        lower.set_xlabel("utterances, easiest first")
        house.mark_percent(lower.xaxis)
    return figure


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
