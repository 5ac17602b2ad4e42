"""Weights fitted to what members say: what is fitted where, whose speakers are left out, and what is scored by it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import CorpusError, StoreError
from ser_store.metrics.calibration import log_softmax
from ser_store.voting.fitted import FITS, Combination, FittedRule, cross_fit
from ser_store_h5.corpus import Corpus
from ser_store_h5.store import Store

# As many as heads are tuned by.
MOST_GROUPS = 5
_FOLD = "fold-"


@dataclass(frozen=True, eq=False)
class FitGroups:
    """Groups of utterances.

    Attributes:
        places: ``(n,)`` numbers from 0 on, the group of each utterance.
        one: what one of them is called: ``fold of split NAME``, ``speaker`` or ``group of speakers``.
        split: the split whose folds they are, if so.
    """

    places: NDArray[np.intp]
    one: str
    split: str | None = None

    @property
    def count(self) -> int:
        return int(self.places.max()) + 1

    def describe(self, on: str) -> str:
        """Return what is fitted on the part ``on`` where each is left out in turn, in words."""
        return (
            f"fitted {self.count} times on {on}, each time without the {self.one} that is scored: nothing fitted has "
            "seen the speakers that it scores"
        )


def group_speakers(corpus: Corpus, rows: NDArray[np.int32], *, split: str | None, way_out: str) -> FitGroups:
    """Return the folds of the split where it has some that keep speakers apart; else speakers in at most five groups.

    The same for the same utterances: speakers with the most utterances first, then by name, each to the group that has
    the fewest utterances so far. An utterance of an unknown speaker is a speaker of its own.

    Args:
        rows: ``(n,)`` indices of the utterances.
        way_out: what a refusal ends with.

    Raises:
        CorpusError: if there are not two speakers to keep apart.
    """
    speakers = corpus.speaker_groups(rows)
    folds = _find_folds(corpus, rows, split)
    # A speaker in two folds makes a pair more than there are speakers.
    pairs = () if folds is None or speakers is None else set(zip(speakers.tolist(), folds.tolist(), strict=True))
    if folds is not None and len(pairs) == len({speaker for speaker, _ in pairs}):
        split = split or corpus.default_split
        return FitGroups(np.unique(folds, return_inverse=True)[1], f"fold of split {split}", split)
    names, own, counts = np.unique([] if speakers is None else speakers, return_inverse=True, return_counts=True)
    if len(names) < 2:
        known = "no speaker is known" if speakers is None else f"all {len(rows)} utterances are of speaker {names[0]}"
        raise CorpusError(
            f"{known}: expected two speakers or more, so that weights are fitted on others than they score; {way_out}"
        )
    sizes = np.zeros(min(MOST_GROUPS, len(names)), dtype=np.intp)
    group_of = np.empty(len(names), dtype=np.intp)
    for speaker in np.argsort(-counts, kind="stable"):
        group_of[speaker] = sizes.argmin()
        sizes[group_of[speaker]] += counts[speaker]
    return FitGroups(group_of[own], "speaker" if len(sizes) == len(names) else "group of speakers")


def _find_folds(corpus: Corpus, rows: NDArray[np.int32], split: str | None) -> NDArray[np.str_] | None:
    """Return the fold of each utterance, ``(n,)``; None where the split is none of folds, or all are in one."""
    if not corpus.splits:
        return None
    folds = corpus.parts(split)[rows]
    is_folded = np.char.startswith(folds, _FOLD).all() and len(set(folds.tolist())) > 1
    return folds if is_folded else None


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
