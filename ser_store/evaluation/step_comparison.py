"""What a comparison of steps found: of each run its steps, and what follows from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ser_store.common.display import (
    Aside,
    Block,
    Percent,
    Picture,
    Result,
    Table,
    draw_bars,
    format_count,
    format_interval,
    maybe_figure,
)
from ser_store.evaluation.step_selection import StepScore
from ser_store.evaluation.tables import (
    caption_utterances,
    describe_intervals,
    head_intervals,
    list_interval_cells,
)
from ser_store.statistics.bootstrap import Interval
from ser_store.statistics.comparisons import PairComparison
from ser_store.statistics.repeated_choice import SelectionBias

# Bars of a line, one for a step; of more steps every second or third.
_BARS = 48


@dataclass(frozen=True)
class RunSteps:
    """All steps of a run, ascending, and what follows from them.

    Attributes:
        run: the run's name; of an ensemble those of its members' runs, joined by plus signs.
        selected: the step its name stands for; None of an ensemble.
        reason: why, where a step was selected.
        steps: one score for each cached step.
        intervals: of the accuracy of each.
        best: the step with the highest accuracy; of equals the earliest.
        divergence: the step after which the evaluation loss rises while the training loss falls; None if there is none.
        best_against_last: the best step (first) compared with the last one (second), by speaker where speakers are
            known; None if they are the same.
        correction: the best step's accuracy as found, and corrected for having been chosen among these steps on
            these very utterances; None where it cannot be.
        note: why nothing was corrected, if so.
        folds: the runs that it is pooled of, each of which has a curve of its own; none for other runs.
    """

    run: str
    selected: int | None
    reason: str | None
    steps: tuple[StepScore, ...]
    intervals: tuple[Interval, ...]
    best: int
    divergence: int | None
    best_against_last: PairComparison | None
    correction: SelectionBias | None
    note: str = ""
    folds: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Whether the best step is ``better`` than the last one, ``the same``, or one ``cannot tell``."""
        return "the same" if self.best_against_last is None else self.best_against_last.verdict

    def to_json(self) -> dict[str, Any]:
        test = self.best_against_last
        return {
            "run": self.run,
            "selected": self.selected,
            "reason": self.reason,
            "best": self.best,
            "divergence": self.divergence,
            "best_against_last": {
                "verdict": self.verdict,
                "only_best_right": 0 if test is None else test.only_first,
                "only_last_right": 0 if test is None else test.only_second,
                "p": 1.0 if test is None else test.p,
                "method": None if test is None else test.method,
            },
            "selection": None if self.correction is None else self.correction.to_json(),
            **({"note": self.note} if self.note else {}),
            **({"folds": list(self.folds)} if self.folds else {}),
            "steps": [
                {**vars(step), "ci95": list(interval.bounds)}
                for step, interval in zip(self.steps, self.intervals, strict=True)
            ],
        }


@dataclass(frozen=True, repr=False)
class StepComparison(Result):
    """Steps of several runs on the same part of the split.

    Attributes:
        on: the part of the split.
        split: the split; None where the corpus has none.
        runs: the steps of each run.
        cautions: why the figures may mislead, and what was left out.
        n: utterances.
    """

    on: str
    split: str | None
    runs: tuple[RunSteps, ...]
    cautions: tuple[str, ...] = ()
    n: int = 0

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore steps`` prints."""
        yield from _tabulate_steps(self)

    def caption(self) -> str:
        return f"steps {caption_utterances(self.on, self.split, self.n)}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each cached step, with its figures and whether it is selected."""
        return [
            {"run": run.run, **vars(score), "low": interval.low, "high": interval.high}
            | {"selected": score.step == run.selected}
            for run in self.runs
            for score, interval in zip(run.steps, run.intervals, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "on": self.on,
            "split": self.split,
            "runs": [run.to_json() for run in self.runs],
            "cautions": list(self.cautions),
        }


def _tabulate_steps(comparison: StepComparison) -> Iterator[Block]:
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


def _tabulate_scores(runs: Sequence[RunSteps], cells: Sequence[Sequence[object]], heads: Sequence[str]) -> Table:
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


def _draw_steps(run: RunSteps) -> str:
    """Return a line with a bar for the accuracy of each step, from the lowest to the highest."""
    scores = run.steps[:: -(-len(run.steps) // _BARS)]
    lowest, highest = (Percent(choose(score.accuracy for score in scores)) for choose in (min, max))
    bars = draw_bars([score.accuracy - lowest + (highest - lowest) / 8 for score in scores])
    return f"  {run.run}  {scores[0].step} {bars} {scores[-1].step}  {lowest} to {highest}"


def _tabulate_choices(comparison: StepComparison) -> Iterator[Block]:
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
    yield from (Picture(_draw_steps(run)) for run in comparison.runs if len({one.accuracy for one in run.steps}) > 1)
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
