"""The groups of whole speakers that are left out in turn, so that no fit has seen whom it scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus

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
        corpus: of the store.
        rows: ``(n,)`` indices of the utterances.
        split: default: the corpus' default split.
        way_out: what a refusal ends with.

    Raises:
        CorpusError: if there are not two speakers to keep apart.
    """
    speakers = corpus.speaker_groups(rows)
    folds = _find_folds(corpus, rows, split)
    if folds is not None and (speakers is None or _keeps_apart(folds, speakers)):
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


def _keeps_apart(folds: NDArray[np.str_], speakers: NDArray[np.str_]) -> bool:
    pairs = set(zip(speakers.tolist(), folds.tolist(), strict=True))
    return len(pairs) == len({speaker for speaker, _ in pairs})
