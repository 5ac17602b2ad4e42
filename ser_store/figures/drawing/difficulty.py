"""Which members get which utterances right, the hardest utterances last."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ser_store.errors import MetricError
from ser_store.figures.drawing import style as house
from ser_store.figures.drawing.text import count_lines, wrap_names


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
