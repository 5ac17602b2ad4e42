"""What a comparison of steps found: of each run its steps, and what follows from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ser_store.common.display import Block, Result
from ser_store.evaluation.step_selection import StepScore
from ser_store.evaluation.tables.evaluation import caption_utterances
from ser_store.evaluation.tables.steps import tabulate_steps
from ser_store.statistics.bootstrap import Interval
from ser_store.statistics.comparisons import PairComparison
from ser_store.statistics.repeated_choice import SelectionBias


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
        yield from tabulate_steps(self)

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
