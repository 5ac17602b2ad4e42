"""The utterances to choose on, and what is drawn whole when they are drawn again."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import EnsembleError
from ser_store_h5.corpus import Corpus


def find_other_rows(
    corpus: Corpus, rows: NDArray[np.int32], *, on: str, select_on: str, split: str | None
) -> NDArray[np.int32]:
    """The utterances of the part ``select_on`` to choose on, as indices into the corpus.

    Raises:
        EnsembleError: if one of them is among ``rows``, those that are reported on.
        UnknownNameError: if there is no such part.
    """
    others = corpus.rows(select_on, split=split)
    if shared := len(np.intersect1d(rows, others)):
        raise EnsembleError(
            f"--select-on {select_on} and --on {on} have {shared} utterances in common: expected two parts that have "
            "none, such as --select-on valid --on test"
        )
    return others


def find_units(corpus: Corpus, rows: NDArray[np.int32], by: str | None) -> tuple[NDArray[Any] | None, str]:
    """What is drawn whole, ``(n,)`` numbers or None, and its name: by default the speakers, where they are known.

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
        f"--correct-by {by}: all {len(rows)} utterances are of one; expected two or more groups to draw, or "
        "--correct-by utterance"
    )
