"""Who may be a member of an ensemble, and what the candidates said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import EnsembleError, StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation.member_choice import choose_members
from ser_store.metrics import softmax
from ser_store_h5.store import Store

# Members that a refusal names before it only counts them.
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Candidates:
    """Members and what they said about ``n`` utterances.

    Attributes:
        names: ``m`` full names.
        predictions: ``(m, n)`` class indices.
        truth: ``(n,)`` class indices.
        probabilities: ``(m, n, c)``, or None where the rule needs none.
        n_classes: number of classes, ``c``.
    """

    names: tuple[str, ...]
    predictions: NDArray[np.int16]
    truth: NDArray[np.int16]
    probabilities: NDArray[np.floating] | None
    n_classes: int

    @cached_property
    def correct(self) -> NDArray[np.int64]:
        """Utterances that each candidate predicts right, ``(m,)``."""
        correct: NDArray[np.int64] = (self.predictions == self.truth).sum(axis=1, dtype=np.int64)
        return correct

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """Accuracy of each candidate, ``(m,)`` in 0..1."""
        return self.correct / len(self.truth)

    @property
    def runs(self) -> NDArray[np.intp]:
        """A number for each candidate's run, ``(m,)``."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(_name_run(name), len(numbers)) for name in self.names], dtype=np.intp)

    def at(self, utterances: NDArray[np.integer]) -> "Candidates":
        """The same candidates on some of the utterances, which may occur several times."""
        return replace(
            self,
            predictions=self.predictions[:, utterances],
            truth=self.truth[utterances],
            probabilities=None if self.probabilities is None else self.probabilities[:, utterances],
        )

    def keep(self, places: NDArray[np.integer]) -> "Candidates":
        """Some of the candidates."""
        if len(places) == len(self.names):
            return self
        return replace(
            self,
            names=tuple(self.names[place] for place in places),
            predictions=self.predictions[places],
            probabilities=None if self.probabilities is None else self.probabilities[places],
        )

    def find(self, pattern: str) -> frozenset[int]:
        """Places of the candidates that ``pattern`` means: a member, a run with all its steps, or either with ``*``."""
        return frozenset(place for place, name in enumerate(self.names) if matches(name, pattern))


def matches(name: str, pattern: str) -> bool:
    """Whether the member ``name`` is meant by ``pattern``: a member, a run, or either with ``*``, ``?`` and ``[]``.

    >>> matches("xlsr53@1100", "xlsr53"), matches("xlsr53@1100", "*@1100"), matches("xlsr53@1100", "xlsr")
    (True, True, False)
    """
    return fnmatchcase(name, pattern) or fnmatchcase(_name_run(name), pattern)


def choose_names(
    store: Store, members: Sequence[str], *, steps: str, include: Sequence[str], exclude: Sequence[str]
) -> list[str]:
    """The candidates' full names, those that were named in the order named, all others by name.

    Raises:
        EnsembleError: if nobody is left.
        StoreError: if the store has no member that predicts anything, or one is named twice.
        UnknownNameError: if there is no such member, or a pattern means nobody.
    """
    names = choose_members(store, members, steps=steps)
    if not members:
        names = sorted(names)
    for pattern in exclude:
        left = [name for name in names if not matches(name, pattern)]
        if len(left) == len(names):
            raise UnknownNameError(_describe_nobody("exclude", pattern, names))
        names = left
    if not names:
        raise EnsembleError("--exclude leaves no candidate: expected at least one; exclude fewer")
    for pattern in include:
        if not any(matches(name, pattern) for name in names):
            raise UnknownNameError(_describe_nobody("include", pattern, names))
    return names


def load_candidates(
    store: Store, names: Sequence[str], rows: NDArray[np.int32], *, needs_probabilities: bool
) -> Candidates:
    """What the members said about the utterances in ``rows``.

    Raises:
        StoreError: naming the utterances that members do not cover; if a member lacks what the rule needs.
    """
    try:
        predictions = store.predictions(names, rows)
        logits = store.logits(names, rows) if needs_probabilities else None
    except StoreError as problem:
        raise _describe_missing(store, names, rows) or problem from problem
    return Candidates(
        names=tuple(names),
        predictions=predictions,
        truth=store.corpus.labels[rows],
        probabilities=None if logits is None else softmax(logits),
        n_classes=len(store.corpus.classes),
    )


def _describe_missing(store: Store, names: Sequence[str], rows: NDArray[np.int32]) -> StoreError | None:
    """Which candidates do not cover the utterances, and which these are; None if that is not the problem."""
    covered = store.count_covered(names, rows)
    lacking = [name for name, n in zip(names, covered, strict=True) if n < len(rows)]
    if not lacking:
        return None

    def describe(name: str) -> str:
        missing = rows[~np.isin(rows, store.covered(name))]
        ids = ", ".join(store.corpus.ids[missing[:_NAMED]].tolist()) + (", …" if len(missing) > _NAMED else "")
        return f"{name} says nothing about {len(missing)} of the {len(rows)} utterances asked for ({ids})"

    others = f"; and {len(lacking) - _NAMED} further members" if len(lacking) > _NAMED else ""
    return StoreError(
        f"{'; '.join(map(describe, lacking[:_NAMED]))}{others}: expected predictions for all; choose another part with "
        "--on, leave members out with --exclude, or run `serstore extract`"
    )


def _describe_nobody(option: str, pattern: str, names: Sequence[str]) -> str:
    known = [*dict.fromkeys(_name_run(name) for name in names), *names]
    return describe_unknown(
        f"candidate to {option}", pattern, known, way_out="a pattern such as 'hubert-*' is possible"
    )


def _name_run(name: str) -> str:
    return name.partition("@")[0]
