"""What a published model says of itself: how well it does, on whom, and what was chosen for it on whom."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ser_store.corpora.splits.fitted import find_fitted_by
from ser_store.evaluation import Evaluations, MemberEvaluation, evaluate
from ser_store.evaluation.step_comparison import RunSteps
from ser_store.evaluation.steps import steps
from ser_store_h5.names import format_member
from ser_store_h5.runs import RunRecord, Selection
from ser_store_h5.store import Store

_CHOSEN_BY_ACCURACY = "best"


@dataclass(frozen=True)
class Figures:
    """The figures of a run at one step.

    Attributes:
        found: on the part ``test`` where the run's split has it, else on the utterances it was evaluated on.
        selection: how the step was chosen; None where it was not.
        choice: the steps it was chosen among, on the part where it was.
    """

    found: Evaluations
    selection: Selection | None
    choice: RunSteps | None

    @property
    def member(self) -> MemberEvaluation:
        """Its figures."""
        return self.found.members[0]

    @property
    def cautions(self) -> tuple[str, ...]:
        """Return why the figures may mislead."""
        return tuple(dict.fromkeys((*self.found.cautions, *self.member.cautions)))

    def describe_choice(self) -> str:
        """Return what the choice of the step means for the figures, in a sentence or two; nothing where none was."""
        chosen, choice = self.selection, self.choice
        if chosen is None or choice is None:
            return ""
        said = f"Step {chosen.step} was chosen on {chosen.on} ({chosen.reason})"
        if chosen.on != self.found.on:
            said += f", not on {self.found.on}"
        correction = choice.correction
        if correction is None or chosen.criterion != _CHOSEN_BY_ACCURACY or choice.best != chosen.step:
            note = choice.note or "not corrected for that"
            return f"{said}; {note}." if chosen.on == self.found.on else f"{said}."
        low, high = correction.bounds or (correction.corrected, correction.corrected)
        return (
            f"{said}: the accuracy on {chosen.on} is {correction.apparent:.2%} apparent and {correction.corrected:.2%} "
            f"corrected for the choice among {len(choice.steps)} steps ({low:.2%} to {high:.2%}; {correction.method})."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the part, the split, accuracies, interval, cautions, and where corrected the choice."""
        scores, interval = self.member.metrics, self.member.interval
        document: dict[str, Any] = {"on": self.found.on, "split": self.found.split, "n": scores.n}
        document |= {"accuracy": scores.accuracy, "balanced_accuracy": scores.balanced_accuracy}
        document |= {"ci95": list(interval.bounds), "cautions": list(self.cautions)}
        if self.selection is not None and self.choice is not None:
            correction = self.choice.correction
            document["step"] = {
                "chosen_on": self.selection.on,
                "rule": self.selection.criterion,
                "selection": None if correction is None else correction.to_json(),
            }
        return document


def find_figures(store: Store, record: RunRecord, step: int) -> Figures | None:
    """Return the figures of ``record.run`` at ``step``; None where the step was not evaluated."""
    if step not in store.steps(record.run):
        return None
    split = record.details.get("split")
    fold, monitored = record.details.get("fold"), record.details.get("on")
    on = None if fold is None and "test" in store.corpus.part_names(split) else monitored
    found = evaluate(store, [format_member(record.run, step)], on=on, split=split)
    selection = record.selected if record.selected is not None and record.selected.step == step else None
    choice = None if selection is None else steps(store, record.run, on=selection.on, split=split).runs[0]
    return Figures(found, selection, choice)


def list_heard(store: Store, record: RunRecord) -> tuple[int, list[str]] | None:
    """Return how many utterances a run has learned from, backbone included, and their speakers; None if unknown."""
    fitted = find_fitted_by(store, record)
    if fitted is None:
        return None
    learned = fitted.learned.any(axis=0)
    speakers = store.corpus.speakers
    return int(learned.sum()), [] if speakers is None else [one for one in np.unique(speakers[learned]).tolist() if one]
