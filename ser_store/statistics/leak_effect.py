"""The effect of leakage: a member's accuracy on test utterances that training gave away, against the clean ones."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import MetricError
from ser_store.statistics.intervals import wilson_interval


@dataclass(frozen=True)
class SubsetAccuracy:
    """``correct`` of ``n`` utterances, n at least 1."""

    n: int
    correct: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.n

    def to_json(self) -> dict[str, Any]:
        interval = wilson_interval(self.correct, self.n)
        return {"n": self.n, "correct": self.correct, "accuracy": self.accuracy, "ci95": list(interval)}


@dataclass(frozen=True)
class LeakEffect:
    """One member's accuracy by one kind of leak.

    Attributes:
        member: the member's name.
        kind: ``twin``, ``speaker`` or ``audio``: what of the utterance training has seen.
        leaked: the utterances of which training has seen that.
        clean: the others.
        difference: accuracy on the leaked less that on the clean ones.
        interval: 95% interval of the difference.
    """

    member: str
    kind: str
    leaked: SubsetAccuracy
    clean: SubsetAccuracy
    difference: float
    interval: tuple[float, float]

    @property
    def verdict(self) -> str:
        """``higher`` or ``lower`` on what was leaked, or ``cannot tell``."""
        low, high = self.interval
        return "higher" if low > 0 else "lower" if high < 0 else "cannot tell"

    def to_json(self) -> dict[str, Any]:
        return {
            "member": self.member,
            "kind": self.kind,
            "leaked": self.leaked.to_json(),
            "clean": self.clean.to_json(),
            "difference": self.difference,
            "ci95": list(self.interval),
            "verdict": self.verdict,
        }


def measure_leak_effect(member: str, kind: str, correct: NDArray[np.bool_], leaked: NDArray[np.bool_]) -> LeakEffect:
    """Compare a member's accuracy on leaked utterances with that on clean ones.

    The interval is Newcombe's: the difference plus or minus the distances of the two Wilson intervals' bounds, added
    in squares. Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions:
    comparison of eleven methods", Statistics in Medicine 17, 1998, method 10.

    Args:
        member: the member's name.
        kind: what was leaked: ``twin``, ``speaker`` or ``audio``.
        correct: ``(n,)`` bool, which utterances the member predicts right.
        leaked: ``(n,)`` bool, which of them training gave away.

    Raises:
        MetricError: if none is leaked, or none clean.

    >>> right = np.array([True] * 20 + [False] * 10)
    >>> measure_leak_effect("a@1", "twin", right, np.arange(30) < 18).verdict
    'higher'
    """
    if leaked.all() or not leaked.any():
        raise MetricError(
            f"{int(leaked.sum())} of {len(leaked)} utterances are leaked: expected some that are, and some not"
        )
    given, kept = (SubsetAccuracy(int(inside.sum()), int(correct[inside].sum())) for inside in (leaked, ~leaked))
    (given_low, given_high), (kept_low, kept_high) = (wilson_interval(part.correct, part.n) for part in (given, kept))
    difference = given.accuracy - kept.accuracy
    low = difference - sqrt((given.accuracy - given_low) ** 2 + (kept_high - kept.accuracy) ** 2)
    high = difference + sqrt((given_high - given.accuracy) ** 2 + (kept.accuracy - kept_low) ** 2)
    return LeakEffect(member, kind, given, kept, difference, (low, high))
