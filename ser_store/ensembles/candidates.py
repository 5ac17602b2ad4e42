"""The candidates, and what they predicted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.options import VoteOptions
from ser_store.errors import StoreError
from ser_store.evaluation.choice.exclusion import matches, name_run
from ser_store.evaluation.score_kinds import load_shares
from ser_store.voting.checks import count_unanswered
from ser_store.voting.quantize import Logits
from ser_store_h5.store import Store

# Members that a refusal names before it only counts them.
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Candidates:
    """Members and what they said about ``n`` utterances.

    Attributes:
        names: ``m`` full names.
        predictions: ``(m, n)`` class indices; an answer that is none of the classes is a vote for one more, the last.
        truth: ``(n,)`` class indices.
        shares: ``(m, n, c)``, the probabilities or logits that the rule adds up, or None where it needs none.
        n_classes: number of classes, ``c``, with that of no class where it was voted for.
    """

    names: tuple[str, ...]
    predictions: NDArray[np.int16]
    truth: NDArray[np.int16]
    shares: NDArray[np.floating] | Logits | None
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
        return np.array([numbers.setdefault(name_run(name), len(numbers)) for name in self.names], dtype=np.intp)

    def at(self, utterances: NDArray[np.integer]) -> "Candidates":
        """Return the same candidates on these utterances, some of which may occur several times."""
        return replace(
            self,
            predictions=self.predictions[:, utterances],
            truth=self.truth[utterances],
            shares=None if self.shares is None else self.shares[:, utterances],
        )

    def keep(self, places: NDArray[np.integer]) -> "Candidates":
        """Return some of the candidates."""
        if len(places) == len(self.names):
            return self
        return replace(
            self,
            names=tuple(self.names[place] for place in places),
            predictions=self.predictions[places],
            shares=None if self.shares is None else self.shares[places],
        )

    def find(self, pattern: str) -> frozenset[int]:
        """Return the places of the candidates that ``pattern`` means; see :func:`matches`."""
        return frozenset(place for place, name in enumerate(self.names) if matches(name, pattern))


def load_candidates(store: Store, names: Sequence[str], rows: NDArray[np.int32], options: VoteOptions) -> Candidates:
    """Return what the members said about the utterances in ``rows``, in the order of their names.

    Sorted by name, so that the outcome does not depend on the order in which the members were named.

    Args:
        store: the store.
        names: full names.
        rows: ``(n,)`` indices into the corpus.
        options: say whether the rule takes more than the members' answers.

    Raises:
        StoreError: naming the utterances that members do not cover; if a member lacks what the rule needs.
    """
    names = sorted(names)
    try:
        answers = store.predictions(names, rows)
        shares = load_shares(store, names, rows, rule=options.voting_rule) if options.needs_shares else None
    except StoreError as problem:
        raise _describe_missing(store, names, rows) or problem from problem
    predictions, n_classes = count_unanswered(answers, len(store.corpus.classes))
    return Candidates(tuple(names), predictions, store.corpus.labels[rows], shares, n_classes)


def _describe_missing(store: Store, names: Sequence[str], rows: NDArray[np.int32]) -> StoreError | None:
    """Return which candidates do not cover the utterances, and which these are; None if that is not the problem."""
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
        "`on`, leave members out with `exclude`, or make the missing ones with `extract()`"
    )
