"""What a measured training is extrapolated to: the published one, on all of RAVDESS."""

from dataclasses import dataclass
from math import ceil

from ser_store.recipes.recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """A whole training.

    Attributes:
        n_train: utterances trained on.
        n_evaluated: utterances of each evaluation.
        steps: optimizer steps.
        interval: optimizer steps between evaluations, each with a checkpoint.
        batch: utterances of an optimizer step.
    """

    n_train: int
    n_evaluated: int
    steps: int
    interval: int
    batch: int

    def count_evaluations(self, steps: int) -> int:
        """Evaluations in the first ``steps``, the last of which is evaluated in any case."""
        return ceil(steps / self.interval)


_RECIPE = Recipe()
_BATCH = _RECIPE.per_device_train_batch_size * _RECIPE.gradient_accumulation_steps
# 1,440 recordings, of which the paper's split trains on 80%.
PUBLISHED = Plan(1152, 288, ceil(1152 / _BATCH) * round(_RECIPE.num_train_epochs), _RECIPE.eval_steps, _BATCH)
