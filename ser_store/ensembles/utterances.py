"""The utterances to choose on and to report on, and the groups that a bootstrap resamples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.splits.fitted import find_fitted
from ser_store.ensembles.options import Correction
from ser_store.errors import EnsembleError
from ser_store.evaluation.choice.member_choice import name_part
from ser_store_h5.corpus import Corpus
from ser_store_h5.store import Store


@dataclass(frozen=True, eq=False)
class Utterances:
    """The utterances of a vote.

    Attributes:
        on: the part of the split that is reported on.
        split: the split; None where the corpus has none.
        select_on: the part that is searched, if it is another.
        reported: ``(n,)`` int32, indices into the corpus.
        searched: ``(s,)`` int32, the same where the part is the same.
        speakers: ``(n,)``, the speaker of each that is reported on; None where unknown.
        groups: ``(n,)``, a number for the group that is resampled as a whole; None where utterances are.
        group_name: what these are.
    """

    on: str
    split: str | None
    select_on: str | None
    reported: NDArray[np.int32]
    searched: NDArray[np.int32]
    speakers: NDArray[np.str_] | None
    groups: NDArray[np.intp] | None
    group_name: str

    @property
    def fitted(self) -> dict[str, Any]:
        """Where weights are fitted, and what they score, as ``pose_task`` asks for it."""
        if self.select_on is None:
            return {"rows": self.reported, "on": self.on, "split": self.split}
        return {"rows": self.searched, "on": self.select_on, "split": self.split, "judged": self.reported}

    @property
    def parts(self) -> dict[str, NDArray[np.int32]]:
        """The rows of each part, by its name."""
        return {self.on: self.reported} | ({} if self.select_on is None else {self.select_on: self.searched})


def find_utterances(
    corpus: Corpus, *, on: str | None, split: str | None, select_on: str | None, correction: Correction
) -> Utterances:
    """Return the utterances that are meant.

    Args:
        corpus: the corpus of the store.
        split: the split that the parts are of. Default: the default split.
        on: the part to report on. Default: ``test`` where the split has it, else all.
        select_on: another part to choose on.
        correction: says what is resampled as a whole.

    Raises:
        EnsembleError: if the two parts have utterances in common, or all are of one group.
        UnknownNameError: if there is no such part, split or column.
    """
    on = name_part(corpus, on, split)
    reported = corpus.rows(on, split=split)
    searched = reported
    if select_on is not None:
        searched = corpus.rows(select_on, split=split)
        if shared := len(np.intersect1d(reported, searched)):
            raise EnsembleError(
                f"`select_on` {select_on} and `on` {on} have {shared} utterances in common: expected two parts that "
                "have none, such as `select_on` valid `on` test"
            )
    groups, group_name = find_units(corpus, reported, correction.by)
    return Utterances(
        on=on,
        split=split or corpus.default_split,
        select_on=select_on,
        reported=reported,
        searched=searched,
        # As evaluate() has them: numbered otherwise, the same seed would draw other speakers.
        speakers=corpus.speaker_groups(reported),
        groups=groups,
        group_name=group_name,
    )


def find_units(corpus: Corpus, rows: NDArray[np.int32], by: str | None) -> tuple[NDArray[Any] | None, str]:
    """Return the groups that are resampled, ``(n,)`` numbers or None, and what they are: by default the speakers.

    Raises:
        EnsembleError: if all are of one group.
        UnknownNameError: if there is no column ``by``.
    """
    if by == "utterance":
        return None, by
    if by is not None:
        from ser_store.evaluation.slices import find_groups

        groups = find_groups(corpus, by)[rows]
    elif (speakers := corpus.speaker_groups(rows)) is None:
        return None, "utterance"
    else:
        groups = speakers
    numbers: dict[str, int] = {}
    places = np.array([numbers.setdefault(group, len(numbers)) for group in groups.tolist()], dtype=np.intp)
    if by is None or len(numbers) > 1:
        return places, by or "speaker"
    raise EnsembleError(
        f"`by` {by}: all {len(rows)} utterances are of one; expected two or more groups to resample, or `by` utterance"
    )


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
