"""The weights of the candidates' votes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice, check_number
from ser_store.errors import EnsembleError
from ser_store.voting.top_k import weigh_utterances

Weights = str | Mapping[str, float] | Sequence[float]

DERIVED = ("accuracy", "balanced_accuracy")
_DESCRIPTIONS = {
    "accuracy": "utterances predicted right",
    "balanced_accuracy": "balanced accuracy",
    "given": "the numbers given",
}


@dataclass(frozen=True)
class VoteWeights:
    """Where the weights come from: ``accuracy``, ``balanced_accuracy`` or ``given``, and in the last case by member."""

    source: str
    given: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_derived(self) -> bool:
        """Whether the weights follow from what is right on the utterances searched: then they are a choice as well."""
        return self.source != "given"

    @property
    def description(self) -> str:
        return _DESCRIPTIONS[self.source]

    def weigh(
        self, names: Sequence[str], predictions: NDArray[np.int16], truth: NDArray[np.int16], n_classes: int
    ) -> NDArray[Any]:
        """Return the weight of each candidate, ``(m,)`` numbers; where derived, exact, so that equal sums are ties.

        By accuracy it is the number of utterances predicted right, by balanced accuracy a fraction.

        Args:
            names: of the candidates.
            predictions: ``(m, n)`` class indices.
            truth: ``(n,)`` class indices.
        """
        if self.source == "given":
            return np.array([self.given[name] for name in names])
        right = predictions == truth
        if self.source == "accuracy":
            return np.asarray(right.sum(axis=1, dtype=np.int64))
        balances = weigh_utterances(truth.astype(np.intp), n_classes)
        return np.array([Fraction(int(balance), int(balances.sum())) for balance in right @ balances])


def settle_weights(weights: Weights, names: Sequence[str]) -> VoteWeights:
    """Return the weights of the candidates ``names``.

    Args:
        weights: ``accuracy`` or ``balanced_accuracy``; a weight for each member or run by its name; or as many numbers
            as there are candidates, in their order.
        names: full names.

    Raises:
        EnsembleError: if a candidate has no weight, or one that is negative or not finite.
        UnknownNameError: if there is no such source of weights, or no candidate of a name.
    """
    if isinstance(weights, str):
        return VoteWeights(check_source(weights))
    if isinstance(weights, Mapping):
        given = _spread_over_steps(weights, names)
    else:
        if not isinstance(weights, Iterable):
            raise EnsembleError(
                f"`weights` is {weights!r}: expected a number for each candidate, or {' or '.join(DERIVED)}"
            )
        numbers = list(weights)
        if len(numbers) != len(names):
            raise EnsembleError(
                f"{len(numbers)} weights for {len(names)} candidates: expected one each, in this order: "
                f"{', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
            )
        given = dict(zip(names, numbers, strict=True))
    for name, weight in given.items():
        expected = f"finite numbers from 0 on; that of {name} is none"
        check_number("weights", weight, EnsembleError, least=0, expected=expected)
    if not any(given.values()):
        raise EnsembleError("`weights` are all 0: expected finite numbers from 0 on, not all of them 0")
    return VoteWeights("given", {name: float(weight) for name, weight in given.items()})


def check_source(weights: str) -> str:
    """Return the source of weights that is meant; raise UnknownNameError if there is no such."""
    source = weights.replace("-", "_")
    check_choice("source of weights", source, DERIVED)
    return source


def read_weights(text: str) -> Weights:
    """Return weights as they are written on the command line.

    Args:
        text: ``accuracy`` or ``balanced-accuracy``; numbers with commas between; or a CSV file with the columns
            ``member`` (a member or a run) and ``weight``.

    Raises:
        EnsembleError: if it is none of these.

    >>> read_weights("2,1,1.5"), read_weights("balanced-accuracy")
    ([2.0, 1.0, 1.5], 'balanced_accuracy')
    """
    if text.replace("-", "_") in DERIVED:
        return text.replace("-", "_")
    if Path(text).is_file():
        return _read_file(Path(text))
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise EnsembleError(
            f"weights {text!r}: expected accuracy, balanced-accuracy, numbers with commas between, or a CSV file with "
            "the columns member and weight"
        ) from None


def _read_file(path: Path) -> dict[str, float]:
    import csv

    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        weights = {row["member"]: float(row["weight"]) for row in rows}
    except (KeyError, TypeError, ValueError, csv.Error) as problem:
        raise EnsembleError(
            f"{path}: is no table of weights ({type(problem).__name__}: {problem}): expected CSV with the columns "
            "member and weight, a number in each row"
        ) from problem
    if len(weights) < len(rows) or not weights:
        raise EnsembleError(f"{path}: has {len(rows)} rows for {len(weights)} members: expected one for each")
    return weights


def _spread_over_steps(weights: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Return each candidate's own weight, else its run's; weights of other members are ignored."""
    given = {name: weights[run] for name in names if (run := name.partition("@")[0]) in weights}
    given |= {name: weights[name] for name in names if name in weights}
    without = [name for name in names if name not in given]
    if without:
        raise EnsembleError(
            f"there is no weight for {', '.join(without[:8])}{', …' if len(without) > 8 else ''}: expected one for "
            "each candidate, by its name or its run's"
        )
    return given
