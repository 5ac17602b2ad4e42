"""What is seen over steps or training utterances: losses and accuracy of runs, learning curves of heads."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house
from ser_store.figures.drawing.text import wrap_text


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


@dataclass(frozen=True, eq=False)
class Curve:
    """One run by its steps.

    Attributes:
        name: the run.
        steps: ``(s,)`` cached steps, ascending.
        accuracy: ``(s,)`` in 0..1.
        bounds: ``(s, 2)``, the 95% interval of each accuracy; None where it is not shown.
        eval_loss: ``(s,)`` in nats; NaN where it is unknown.
        train_loss: ``(t, 2)``, step and loss of each logging step; none where nothing was logged.
        selected: the step that the run's name stands for; None if there is none.
        divergence: the step from which the evaluation loss rises while the training loss falls; None if it does not.
    """

    name: str
    steps: NDArray[Any]
    accuracy: NDArray[Any]
    bounds: NDArray[Any] | None = None
    eval_loss: NDArray[Any] = field(default_factory=lambda: np.empty(0))
    train_loss: NDArray[Any] = field(default_factory=lambda: np.empty((0, 2)))
    selected: int | None = None
    divergence: int | None = None


def draw_curves(
    curves: Sequence[Curve], *, title: str, notes: Sequence[str] = (), width: house.Width = "page"
) -> house.Figure:
    """Draw losses and accuracy of each run by step, the selected step and the one where the losses diverge marked.

    Args:
        curves: of each run.
        title: above the figure.
        notes: below it, a paragraph each.
        width: ``column``, where the accuracy is below the losses, or ``page``, where it is beside them.

    Raises:
        MetricError: if there is no run.
    """
    _check(curves)
    several = len(curves) > 1
    with house.house_style():
        shape = (2 * len(curves), 1) if width == "column" else (len(curves), 2)
        height = 1.5 if several or width == "column" else 2.2
        figure = house.make_figure(width, shape[0] * height + 0.35, title=title, notes=notes)
        grid = figure.subplots(*shape, squeeze=False, sharex=not several).reshape(len(curves), 2)
        highest = max(_find_most(curve) for curve in curves)
        lowest = min(float(curve.accuracy.min()) for curve in curves)
        for curve, (losses, accuracy) in zip(curves, grid, strict=True):
            _draw_losses(losses, curve, highest)
            _draw_accuracy(accuracy, curve, lowest)
            if several:
                losses.set_ylabel("\n".join([*wrap_text(curve.name, height), "loss (nats)"]))
        for axes in grid[0]:
            house.put_legend(axes, inches=house.WIDTHS[width] / (1 if width == "column" else 2))
        for axes in grid[-1] if width == "page" else grid[-1:, -1]:
            axes.set_xlabel("step")
    return figure


def _find_most(curve: Curve) -> float:
    known = np.concatenate([curve.eval_loss, curve.train_loss[:, 1]])
    return float(np.nanmax(known)) if np.isfinite(known).any() else 1.0


def _draw_losses(axes: house.Axes, curve: Curve, highest: float) -> None:
    axes.grid(axis="y")
    if len(curve.train_loss):
        dense = len(curve.train_loss) > 40
        axes.plot(
            *curve.train_loss.T,
            color=house.COLOURS[1],
            marker="" if dense else "s",
            ls=(0, (4, 1.5)),
            label="training loss",
        )
    if np.isfinite(curve.eval_loss).any():
        axes.plot(curve.steps, curve.eval_loss, color=house.COLOURS[0], marker="o", label="evaluation loss")
    if not axes.lines:
        axes.text(0.5, 0.5, "no losses known", transform=axes.transAxes, ha="center", color=house.GREY)
    axes.set_ylim(0, highest * 1.08)
    axes.set_ylabel("loss (nats)")
    _mark_steps(axes, curve)


def _draw_accuracy(axes: house.Axes, curve: Curve, lowest: float) -> None:
    axes.grid(axis="y")
    axes.plot(curve.steps, curve.accuracy, color=house.COLOURS[2], marker="^", label="accuracy")
    axes.set_ylim(max(0.0, np.floor(lowest * 10) / 10), 1.0)
    axes.set_ylabel("accuracy")
    house.mark_percent(axes.yaxis)
    _mark_steps(axes, curve)


def _mark_steps(axes: house.Axes, curve: Curve) -> None:
    house.mark_steps(axes.xaxis)
    if curve.selected is not None:
        axes.axvline(curve.selected, color="black", lw=0.8, label="selected", zorder=0)
    if curve.divergence is not None:
        axes.axvline(curve.divergence, color=house.COLOURS[3], lw=1.2, ls=":", label="losses diverge", zorder=0)


def draw_steps(
    curves: Sequence[Curve], *, title: str, notes: Sequence[str] = (), width: house.Width = "page"
) -> house.Figure:
    """Draw the accuracy of several runs by step, with intervals; the selected step of each is ringed.

    Args:
        curves: of each run; those with ``bounds`` have bars.
        title: above the figure.
        notes: below it, a paragraph each.
        width: ``column`` or ``page``.

    Raises:
        MetricError: if there is no run.
    """
    _check(curves)
    with house.house_style():
        figure = house.make_figure(
            width,
            2.3 + house.measure_legend([curve.name for curve in curves], house.WIDTHS[width]),
            title=title,
            notes=notes,
        )
        axes = figure.subplots()
        axes.grid(axis="y")
        gap = min((float(np.diff(curve.steps).min()) for curve in curves if len(curve.steps) > 1), default=1.0)
        shifts = (np.arange(len(curves)) - (len(curves) - 1) / 2) * gap * 0.5 / max(len(curves), 2)
        for place, (curve, shift) in enumerate(zip(curves, shifts, strict=True)):
            _draw_series(axes, curve, place, float(shift))
        axes.set_xlabel("step")
        house.mark_steps(axes.xaxis)
        axes.set_ylabel("accuracy")
        house.mark_percent(axes.yaxis)
        house.put_legend(axes, inches=house.WIDTHS[width])
    return figure


def _draw_series(axes: house.Axes, curve: Curve, place: int, shift: float) -> None:
    style = house.style_series(place)
    at = curve.steps + shift
    axes.plot(at, curve.accuracy, label=curve.name, **style)
    if curve.bounds is not None:
        axes.vlines(at, *curve.bounds.T, color=style["color"], lw=0.7)
    for step, right in zip(curve.steps, curve.accuracy, strict=True):
        if step == curve.selected:
            axes.plot(step + shift, right, marker="o", ms=8, mfc="none", mec="black", mew=0.8, ls="")


def _check(curves: Sequence[Curve]) -> None:
    if not curves:
        raise MetricError("there is no curve: expected one run or more")
    for curve in curves:
        if not len(curve.steps) or len(curve.steps) != len(curve.accuracy):
            raise MetricError(
                f"{curve.name} has {len(curve.steps)} steps and {len(curve.accuracy)} accuracies: expected as many of "
                "both, one or more"
            )


def make_curve(name: str, steps: ArrayLike, accuracy: ArrayLike, **others: Any) -> Curve:
    """Return a curve of anything that numpy makes arrays of.

    >>> make_curve("xlsr53", [100, 200], [0.8, 0.9], selected=200).accuracy.tolist()
    [0.8, 0.9]
    """
    arrays: dict[str, Any] = {
        name: np.asarray(value, dtype=float) if name in ("bounds", "eval_loss", "train_loss") else value
        for name, value in others.items()
    }
    return Curve(name, np.asarray(steps), np.asarray(accuracy, dtype=float), **arrays)
