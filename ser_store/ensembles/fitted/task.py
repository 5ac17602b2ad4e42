"""What is fitted to members' scores, where, and what is scored by it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.splits.fitted import find_fitted
from ser_store.ensembles.fitted.groups import FitGroups, group_speakers
from ser_store.ensembles.utterances import Utterances
from ser_store.errors import StoreError
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
        return (
            f"fitted {self.groups.count} times on {self.on}, each time without the {self.groups.one} that is scored: "
            "nothing fitted has seen the speakers that it scores"
        )


def pose_task(store: Store, names: tuple[str, ...], utterances: Utterances, *, way_out: str) -> Task:
    """Return the task of members on the utterances of a vote.

    Raises:
        CorpusError: if there are not two speakers to keep apart; it ends with ``way_out``.
        StoreError: if a member does not cover the utterances, or has no scores.
    """
    on, rows = utterances.on, utterances.reported
    if utterances.select_on is not None:
        on, rows = utterances.select_on, utterances.searched
    labelled = [name for name in names if store.describe_member(name).logits is None]
    if labelled:
        raise StoreError(
            f"{labelled[0]} has labels only: expected logits or probabilities to fit a weight to; leave it out"
        )
    groups = group_speakers(store.corpus, rows, split=utterances.split, way_out=way_out)
    judged = None if utterances.select_on is None else log_softmax(store.logits(names, utterances.reported))
    return Task(log_softmax(store.logits(names, rows)), store.corpus.labels[rows].astype(np.intp), groups, on, judged)


def caution_fit(store: Store, names: Sequence[str], utterances: Utterances) -> Iterator[str]:
    """Yield why what was fitted on another part is too good, or no good, for the utterances reported on."""
    if utterances.select_on is None:
        return
    known, judged = store.corpus.speaker_groups(utterances.searched), utterances.speakers
    if known is not None and judged is not None:
        speakers = set(judged.tolist())
        if shared := len(speakers & set(known.tolist())):
            yield (
                f"the weights were fitted on other utterances of {shared} of these {len(speakers)} speakers: the "
                "figures are those of known speakers, too good for new ones"
            )
    fitted = {name: find_fitted(store, store.resolve(name)[0]) for name in names}
    learned = [name for name, one in fitted.items() if one is not None and one.learned_from(utterances.searched).any()]
    if learned:
        yield (
            f"{utterances.select_on}, which the weights were fitted on, holds utterances that models learned from, and "
            f"are surer of than of others: {', '.join(learned)}; fit on another part"
        )
