"""What was measured of one backbone, and what it comes to in a whole training."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from measuring.plan import Plan
from measuring.running import Runtime
from measuring.step_clock import Way
from ser_store.backbones.catalogue import list_backbones
from ser_store.recipes.recipe import Recipe
from ser_store.reproduction.published import load_published


@dataclass(frozen=True)
class Measured:
    """What was measured of one backbone, in ``ours`` and in the published way."""

    model: str
    recipe: Recipe
    ours: Way
    notebook: Way | None
    n_evaluated: int
    peak_bytes: int
    flops_per_utterance: float
    loss_difference: float | None

    def summarise(self, plan: Plan, *, decoding_seconds: float, matrix_rate: float) -> Runtime:
        """The figures of the table, and what they come to in a whole training."""
        published = load_published().models.get(self.model)
        selected = None if published is None else published.selected_step
        ours, notebook = self.ours, self.notebook
        decoded = decoding_seconds * (plan.n_train + plan.n_evaluated)
        theirs: dict[str, Any] | None = None
        ratios: tuple[float, ...] = ()
        if notebook is not None:
            ratios = compare(ours, notebook)
            # What its checkpoints say of the test part is computed once more in the end.
            theirs = _state(notebook) | {
                "extrapolated": self._extrapolate(notebook, plan, selected, passes=2, before=notebook.startup_seconds)
            }
        return Runtime(
            model=self.model,
            parameters=next((one.parameters for one in list_backbones() if one.key == self.model), 0),
            steps=self.recipe.max_steps or 0,
            **_state(ours),
            startup_seconds=ours.startup_seconds,
            peak_bytes=self.peak_bytes,
            flops_per_utterance=self.flops_per_utterance,
            floor_share=self.flops_per_utterance / matrix_rate * ours.utterances_per_second,
            extrapolated=self._extrapolate(ours, plan, selected, passes=1, before=ours.startup_seconds + decoded),
            notebook=theirs,
            ratio=median(ratios) if ratios else None,
            ratios=ratios,
            loss_difference=self.loss_difference,
            published=None if published is None else published.seconds,
        )

    def _extrapolate(
        self, way: Way, plan: Plan, selected: int | None, *, passes: int, before: float
    ) -> dict[str, float | None]:
        evaluation = passes * way.evaluation_seconds * plan.n_evaluated / self.n_evaluated

        def take(steps: int) -> float:
            return steps * plan.batch / way.utterances_per_second + plan.count_evaluations(steps) * (
                evaluation + way.saving_seconds
            )

        return {
            "total": before + take(plan.steps),
            "per_100_steps": take(100),
            "to_selected_step": None if selected is None else before + take(selected),
        }


def _state(way: Way) -> dict[str, Any]:
    return {
        "utterances_per_second": way.utterances_per_second,
        "evaluation_seconds": way.evaluation_seconds,
        "saving_seconds": way.saving_seconds,
    }


def compare(ours: Way, notebook: Way) -> tuple[float, ...]:
    """How many times as fast ours is, in each pair of stretches but the first, which warms up."""
    pairs = zip(ours.stretches[1:], notebook.stretches[1:], strict=True)
    return tuple(theirs.seconds / our.seconds for our, theirs in pairs)
