"""Figures of what members answered: their confusions."""

from ser_store.evaluation import evaluate
from ser_store.figures.drawing.confusion import draw_confusions
from ser_store.figures.question import (
    Drawn,
    Question,
    describe_figures,
    describe_methods_of,
    list_notes,
    name_members,
    name_scope_of,
)


def draw_confusion(asked: Question) -> Drawn:
    """Draw the confusion matrix of each member."""
    found = evaluate(asked.store, asked.members, **asked.voting)
    names = [one.member for one in found.members]
    title = f"Confusion of {name_members(names)} {name_scope_of(found)}"
    methods = describe_methods_of(found)
    if len(names) == 1:
        [one] = found.members
        title += f": {describe_figures(one.metrics, one.interval)}"
    else:
        names = [f"{one.member}, {one.metrics.accuracy:.2%}" for one in found.members]
        methods = ""
    figure = draw_confusions(
        [one.metrics.confusion for one in found.members],
        found.members[0].classes,
        names,
        title=title,
        notes=list_notes(found.cautions, methods),
        width=asked.width,
    )
    return Drawn(figure, title, found.cautions)
