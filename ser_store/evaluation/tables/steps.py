"""Steps of runs as a table, and what follows from them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ser_store.common.display import (
    Aside,
    Block,
    Percent,
    Picture,
    Table,
    draw_bars,
    format_count,
    format_interval,
    maybe_figure,
)
from ser_store.evaluation.tables.evaluation import (
    caption_utterances,
    describe_intervals,
    head_intervals,
    list_interval_cells,
)

if TYPE_CHECKING:
    from ser_store.evaluation.step_comparison import RunSteps, StepComparison

# Bars of a line, one for a step; of more steps every second or third.
_BARS = 48


def tabulate_steps(comparison: "StepComparison") -> Iterator[Block]:
    """Yield what follows for each run, and a table of all steps with the selected one of each run marked."""
    runs = comparison.runs
    where = caption_utterances(comparison.on, comparison.split, comparison.n)
    yield Aside(f"steps of {format_count(len(runs), 'run')} {where}")
    if any(len(run.steps) > 1 for run in runs):
        yield from _tabulate_choices(comparison)
        yield ""
    intervals = [interval for run in runs for interval in run.intervals]
    yield _tabulate_scores(runs, list_interval_cells(intervals), head_intervals(intervals))
    yield f"\n95% intervals: {describe_intervals(intervals, said=comparison.cautions)}"
    if any(len(run.steps) > 1 for run in runs):
        yield "as before: utterances for which the step predicts what the step before it does"
    for run in runs:
        if run.folds:
            curves = ", ".join(run.folds)
            yield f"{run.run} is pooled over folds, its train loss their mean; with a curve each: {curves}"


def _tabulate_scores(runs: "Sequence[RunSteps]", cells: Sequence[Sequence[object]], heads: Sequence[str]) -> Table:
    rows = []
    own = iter(cells)
    for run in runs:
        for score in run.steps:
            mark = "←" if score.step == run.selected else ""
            reason = f" {run.reason}" if mark and run.reason else ""
            rows.append(
                [
                    run.run,
                    score.step,
                    Percent(score.accuracy),
                    *next(own),
                    Percent(score.balanced_accuracy),
                    maybe_figure(score.eval_loss),
                    maybe_figure(score.train_loss),
                    None if score.agreement is None else Percent(score.agreement),
                    mark + reason,
                ]
            )
    header = [
        "run",
        "step",
        "accuracy",
        *heads,
        "balanced accuracy",
        "eval loss",
        "train loss",
        "as before",
        "selected",
    ]
    return Table(header, rows, best={"accuracy": max, "balanced accuracy": max, "eval loss": min}, keys=2)


def draw_steps(run: "RunSteps") -> str:
    """Return a line with a bar for the accuracy of each step, from the lowest to the highest."""
    scores = run.steps[:: -(-len(run.steps) // _BARS)]
    lowest, highest = (Percent(choose(score.accuracy for score in scores)) for choose in (min, max))
    bars = draw_bars([score.accuracy - lowest + (highest - lowest) / 8 for score in scores])
    return f"  {run.run}  {scores[0].step} {bars} {scores[-1].step}  {lowest} to {highest}"


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
    header = ["run", "best", "apparent", "corrected", "95% interval", "last", "best against last", "losses diverge at"]
    yield Table(header, rows)
    yield ""
    yield from (Picture(draw_steps(run)) for run in comparison.runs if len({one.accuracy for one in run.steps}) > 1)
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
