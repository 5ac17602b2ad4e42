"""Steps of runs as a table, and what follows from them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ser_store.common.display import Block, Percent, Table, format_interval, maybe_figure
from ser_store.evaluation.tables.evaluation import name_utterances

if TYPE_CHECKING:
    from ser_store.evaluation.steps import StepComparison


def tabulate_steps(comparison: "StepComparison") -> Iterator[Block]:
    """Yield one table of all steps, the selected one of each run marked, and what follows for each run."""
    rows = []
    for run in comparison.runs:
        for score in run.steps:
            mark = "←" if score.step == run.selected else ""
            reason = f" {run.reason}" if mark and run.reason else ""
            rows.append(
                [
                    run.run,
                    score.step,
                    Percent(score.accuracy),
                    Percent(score.balanced_accuracy),
                    maybe_figure(score.eval_loss),
                    maybe_figure(score.train_loss),
                    None if score.agreement is None else Percent(score.agreement),
                    mark + reason,
                ]
            )
    utterances = name_utterances(comparison.on, comparison.split)
    header = [utterances, "step", "accuracy", "balanced accuracy", "eval loss", "train loss"]
    best = {"accuracy": max, "balanced accuracy": max, "eval loss": min}
    yield Table([*header, "as before", "selected"], rows, best=best)
    if any(len(run.steps) > 1 for run in comparison.runs):
        yield from _tabulate_choices(comparison)
    for run in comparison.runs:
        if run.folds:
            curves = ", ".join(run.folds)
            yield f"{run.run} is pooled over folds, its train loss their mean; with a curve each: {curves}"


def _tabulate_choices(comparison: "StepComparison") -> Iterator[Block]:
    rows = []
    for run in comparison.runs:
        test, correction = run.best_against_last, run.correction
        bounds = None if correction is None else correction.bounds
        rows.append(
            [
                run.run,
                run.best,
                Percent(next(score.accuracy for score in run.steps if score.step == run.best)),
                "–" if correction is None else Percent(correction.corrected),
                "–" if bounds is None else format_interval(bounds),
                run.steps[-1].step,
                run.verdict
                if test is None
                else f"{run.verdict} (right alone {test.only_first} against {test.only_second}, p = {test.p:.2g})",
                "never" if run.divergence is None else str(run.divergence),
            ]
        )
    yield ""
    header = ["", "best", "apparent", "corrected", "95% interval", "last", "best against last", "losses diverge at"]
    yield Table(header, rows)
    yield ""
    corrected = next((run.correction for run in comparison.runs if run.correction), None)
    if corrected is not None:
        yield (
            f"corrected: what to expect of a step chosen for its accuracy on {comparison.on} ({corrected.method}, "
            f"{corrected.repeats} repeats)"
        )
    tests = [run.best_against_last for run in comparison.runs if run.best_against_last is not None]
    if tests:
        yield f"p of best against last: {', '.join(dict.fromkeys(test.method for test in tests))}"
    yield from dict.fromkeys(run.note for run in comparison.runs if run.note)
    yield "as before: utterances for which the step predicts what the step before it does"
