"""What is fitted to members' scores, where, and what is scored by it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import StoreError
from ser_store.evaluation.fitted.groups import FitGroups, group_speakers
from ser_store.metrics.calibration import log_softmax
from ser_store.voting.fitted import FITS, Combination, FittedRule, cross_fit
from ser_store_h5.store import Store


@dataclass(frozen=True, eq=False)
class Task:
    """A fit on some utterances that scores others, or the same, each left out of the fit that scores it.

    Attributes:
        scores: ``(m, n, c)``, log-probabilities of the members on the utterances that are fitted on.
        labels: ``(n,)`` class indices of these.
        groups: of these.
        on: the part that they are.
        judged: ``(m, j, c)``, the same on those that are scored; None where they are the same.
    """

    scores: NDArray[np.float64]
    labels: NDArray[np.intp]
    groups: FitGroups
    on: str
    judged: NDArray[np.float64] | None

    def solve(self, rule: FittedRule) -> tuple[NDArray[np.float64], tuple[Combination, ...]]:
        """Return log-probabilities of those that are scored, ``(j, c)``, and what was fitted: one, or one a group."""
        fit, groups = FITS[rule], self.groups.places
        if self.judged is None:
            return cross_fit(fit, self.scores, self.labels, groups)
        fitted = fit(self.scores, self.labels, groups)
        return fitted.combine(self.judged), (fitted,)

    def find_obstacle(self, rule: FittedRule, classes: tuple[str, ...]) -> str | None:
        """Return why the rule cannot be fitted, in a line that ends with the way out; None if it can."""
        labels, places, count = self.labels, self.groups.places, self.groups.count
        least = 3 if self.judged is None else 2
        if rule == "greedy-pool" and count < least:
            return f"`rule` {rule} with {count} speakers: expected {least} or more to choose on; take `rule` pool"
        if rule != "stack":
            return None
        fits = [labels] if self.judged is not None else [labels[places != one] for one in range(count)]
        absent = {one for own in fits for one in set(range(len(classes))) - set(own.tolist())}
        if not absent:
            return None
        names = ", ".join(classes[one] for one in sorted(absent))
        return (
            f"`rule` {rule} with no utterance labelled {names} among those that it is fitted on: expected some of "
            "every class; take `rule` pool, which needs none"
        )

    def describe(self) -> str:
        """Return what is fitted where, in words."""
        if self.judged is not None:
            return f"fitted on {self.on}, {len(self.labels)} utterances"
        return self.groups.describe(self.on)


def pose_task(
    store: Store,
    names: Sequence[str],
    rows: NDArray[np.int32],
    *,
    on: str,
    split: str | None,
    judged: NDArray[np.int32] | None = None,
    way_out: str,
) -> Task:
    """Return the task of members that are fitted on some utterances.

    Args:
        store: has the members.
        names: full names.
        rows: ``(n,)`` indices of the utterances that are fitted on.
        on: what they are called.
        split: whose folds are left out in turn, where these keep speakers apart. Default: the default split.
        judged: ``(j,)`` indices of those that are scored; None where they are the same.
        way_out: what a refusal ends with.

    Raises:
        CorpusError: if there are not two speakers to keep apart.
        StoreError: if a member does not cover the utterances, or has no scores.
    """
    labelled = [name for name in names if store.describe_member(name).logits is None]
    if labelled:
        raise StoreError(
            f"{labelled[0]} has labels only: expected logits or probabilities to fit a weight to; leave it out"
        )
    groups = group_speakers(store.corpus, rows, split=split, way_out=way_out)
    scored = None if judged is None else log_softmax(store.logits(names, judged))
    return Task(log_softmax(store.logits(names, rows)), store.corpus.labels[rows].astype(np.intp), groups, on, scored)
