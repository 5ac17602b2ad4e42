"""Who is judged on utterances that it has learned from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import CorpusError
from ser_store.sides import choose_sides
from ser_store_h5.names import parse_member
from ser_store_h5.store import Store


def caution_trained_on(store: Store, members: Sequence[str], rows: NDArray[np.int32]) -> tuple[str, ...]:
    """A line for each run of fine-tuning among ``members`` that was trained on some of ``rows``.

    Its record says which split it was trained by. An extraction covers the whole corpus, and a store may have several
    splits. Nothing is said of a run whose split the store has no longer.
    """
    cautions = []
    for run in dict.fromkeys(parse_member(member)[0] for member in members):
        trained, split = _count_trained_on(store, run, rows)
        if trained:
            cautions.append(
                f"{run} was trained on {trained} of these {len(rows)} utterances (split {split}): its figures are too "
                f"good; --split {split} has others"
            )
    return tuple(cautions)


def _count_trained_on(store: Store, run: str, rows: NDArray[np.int32]) -> tuple[int, str]:
    record, corpus = store.run(run), store.corpus
    split, fold = record.details.get("split"), record.details.get("fold")
    if record.kind != "finetune" or split not in corpus.splits:
        return 0, ""
    try:
        trained = choose_sides(corpus, split=split, fold=fold).train
    except CorpusError:  # the split is another one by now
        return 0, ""
    return int(np.isin(rows, trained).sum()), str(split)
