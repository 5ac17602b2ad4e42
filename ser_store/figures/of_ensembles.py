"""The figure of all ensembles of some size, and of the best among them."""

from ser_store.common.display import Percent, format_interval
from ser_store.ensembles import Limits
from ser_store.ensembles.report import VoteReport
from ser_store.ensembles.vote import vote
from ser_store.errors import EnsembleError
from ser_store.figures.drawing.distribution import Mark, draw_distribution
from ser_store.figures.question import Drawn, Question, list_notes, name_scope


def draw_ensembles(asked: Question) -> Drawn:
    """Draw the accuracies of all ensembles of ``k`` members, the chosen one and its corrected figure marked."""
    if asked.k is None:
        raise EnsembleError("`k` is not given: expected the number of members of an ensemble, such as 3")
    report = vote(
        asked.store,
        asked.members,
        k=asked.k,
        all_combos=True,
        steps=asked.steps,
        rule=asked.rule,
        tie=asked.tie,
        on=asked.on,
        split=asked.split,
        limits=Limits(exclude=tuple(asked.exclude)),
        top=1,
        progress=asked.progress,
    )
    if not report.complete:
        raise KeyboardInterrupt  # a figure of some would pass for one of all
    if report.distribution is None:
        raise EnsembleError(
            "not all ensembles were voted: expected fewer candidates, or a smaller `k`, for this figure"
        )
    n = report.ensembles[0].score.n
    title = (
        f"All {report.searched:,} ensembles of {asked.k} of {len(report.candidates)} members "
        f"{name_scope(report.on, report.split, n)}, {report.options.voting_rule} voting"
    )
    notes = list_notes(report.cautions, f"chosen on these utterances: {report.ensembles[0].name}", report.note)
    figure = draw_distribution(
        report.distribution.correct,
        report.distribution.ensembles,
        n,
        _list_marks(report),
        title=title,
        notes=notes,
        width=asked.width,
    )
    return Drawn(figure, title, report.cautions)


def _list_marks(report: VoteReport) -> list[Mark]:
    best, selection = report.ensembles[0], report.selection
    bounds = best.interval.bounds
    marks = [
        Mark(f"chosen, apparent {Percent(best.score.accuracy)} {format_interval(bounds)}", best.score.accuracy, bounds)
    ]
    if selection is not None and selection.repeats:
        interval = "" if selection.bounds is None else f" {format_interval(selection.bounds)}"
        label = f"corrected for the choice {Percent(selection.corrected)}{interval}"
        marks.append(Mark(label, selection.corrected, selection.bounds))
    name, accuracy = report.best_single
    return [*marks, Mark(f"best member alone, {name}, {Percent(accuracy)}", accuracy)]
