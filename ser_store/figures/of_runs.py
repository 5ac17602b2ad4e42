"""Figures of runs by their steps, and of all ensembles of some size."""

from collections.abc import Iterator, Sequence

import numpy as np

from ser_store.common.display import Percent, format_interval
from ser_store.ensembles import Limits
from ser_store.ensembles.report import VoteReport
from ser_store.ensembles.vote import vote
from ser_store.errors import EnsembleError
from ser_store.evaluation.step_comparison import RunSteps, StepComparison
from ser_store.evaluation.steps import steps as compare_steps
from ser_store.evaluation.tables import describe_intervals
from ser_store.figures.drawing.curves import Curve, draw_curves, make_curve
from ser_store.figures.drawing.curves import draw_steps as draw_accuracies
from ser_store.figures.drawing.points import Mark, draw_distribution
from ser_store.figures.question import (
    Drawn,
    Question,
    describe_choice,
    list_notes,
    name_members,
    name_scope,
)
from ser_store_h5.names import PLUS, format_member
from ser_store_h5.store import Store


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


def draw_training(asked: Question) -> Drawn:
    """Draw losses and accuracy of each run by step."""
    found = compare_steps(asked.store, asked.members, on=asked.on, split=asked.split)
    title = f"Losses and accuracy by step of {_name_runs(found.runs)} {name_scope(found.on, found.split, found.n)}"
    curves = [_make_curve(asked.store, run) for run in found.runs]
    unknown = name_members([curve.name for curve in curves if not len(curve.train_loss)])
    read = f"no training loss is known of {unknown}: losses diverge where that of evaluation rises" if unknown else ""
    notes = list_notes(found.cautions, read, *_describe(found))
    figure = draw_curves(curves, title=title, notes=notes, width=asked.width)
    return Drawn(figure, title, found.cautions)


def draw_steps(asked: Question) -> Drawn:
    """Draw the accuracy by step of all runs, with intervals."""
    found = compare_steps(asked.store, asked.members, on=asked.on, split=asked.split)
    title = f"Accuracy by step of {_name_runs(found.runs)} {name_scope(found.on, found.split, found.n)}"
    curves = [
        make_curve(
            run.run,
            [score.step for score in run.steps],
            [score.accuracy for score in run.steps],
            bounds=[interval.bounds for interval in run.intervals],
            selected=run.selected,
        )
        for run in found.runs
    ]
    intervals = [interval for run in found.runs for interval in run.intervals]
    notes = list_notes(
        found.cautions,
        "ringed: the selected step; runs stand a little beside their steps",
        f"95% intervals: {describe_intervals(intervals, said=found.cautions)}",
        *_describe(found),
    )
    return Drawn(draw_accuracies(curves, title=title, notes=notes, width=asked.width), title, found.cautions)


def _make_curve(store: Store, run: RunSteps) -> Curve:
    points = [] if PLUS in run.run else store.curves(run.run)
    logged = [(point["step"], point["train_loss"]) for point in points if point.get("train_loss") is not None]
    carried = [(score.step, score.train_loss) for score in run.steps if score.train_loss is not None]
    return make_curve(
        run.run,
        [score.step for score in run.steps],
        [score.accuracy for score in run.steps],
        eval_loss=[np.nan if score.eval_loss is None else score.eval_loss for score in run.steps],
        train_loss=np.reshape(logged or carried, (-1, 2)),
        selected=run.selected,
        divergence=run.divergence,
    )


def _name_runs(runs: Sequence[RunSteps]) -> str:
    return name_members([run.run for run in runs]).replace("members", "runs")


def _describe(compared: StepComparison) -> Iterator[str]:
    """Yield what is left of each run's best step when its choice is corrected for."""
    for run in compared.runs:
        if run.correction is not None:
            yield describe_choice(format_member(run.run, run.best), run.correction.to_json(), len(run.steps))
