"""What heads are fitted on: which members of a store, which of their layers, and the numbers themselves."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ser_store.common.log import report_left_out
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.errors import CorpusError, StoreError
from ser_store.evaluation.member_choice import list_readable
from ser_store_h5.store import Store

Layers = int | str | Sequence[int] | None
Normalise = Literal["train", "speaker", "corpus"]


def find_sources(store: Store, layer: Layers) -> list[str]:
    """Return the members with representations of the whole corpus; with layers, where one is asked for.

    Raises:
        StoreError: if there is none.
    """
    n = len(store.corpus)
    chosen, left_out = list_readable(
        store, holds=lambda one: one.pooled is not None and one.n == n and (layer is None or bool(one.layers))
    )
    report_left_out(left_out)
    if not chosen:
        raise StoreError(
            f"{store.path} has no member with {'pooled representations' if layer is None else 'layers'} of the whole "
            "corpus: make one with `extract()`"
        )
    return [member.name for member in chosen]


def list_layers(store: Store, source: str, layer: Layers) -> list[int | None]:
    """Return the layers of which heads are to be fitted; None for the last one where none was named.

    Args:
        layer: a number, several of them (``[3, 4]`` or ``"3,4"``), or ``all``.

    Raises:
        StoreError: if the source does not have them.
    """
    if layer is None:
        return [None]
    held = store.describe_member(source).layers
    if not held:
        raise StoreError(
            f"`layer` is {layer}, and {source} was extracted with its last layer alone: leave `layer` out, or extract "
            "several under another `run`"
        )
    if layer == "all":
        return list(held)
    named = {str(number): number for number in held}
    given = str(layer).split(",") if isinstance(layer, int | str) else layer
    for one in given:
        if str(one).strip() not in named:
            raise StoreError(f"`layer` is {one}: expected {', '.join(named)} or all, the layers of {source}")
    return [named[str(one).strip()] for one in given]


def load_inputs(
    store: Store, source: str, rows: Rows, layer: int | None, normalise: Normalise = "train"
) -> NDArray[np.floating]:
    """Return the pooled representations of a member, or its logits where it holds no others, ``(n, d)``.

    Args:
        normalise: ``speaker`` or ``corpus`` standardise each dimension on all utterances that the member covers, of
            each speaker or of the corpus; ``train`` leaves that to who fits.

    Raises:
        CorpusError: if the speakers are to be standardised and the corpus does not know them all.
    """
    if normalise == "train":
        return _read_inputs(store, source, rows, layer)
    covered = store.read_member(source).rows
    groups = np.zeros(len(covered)) if normalise == "corpus" else store.corpus.speaker_groups(covered)
    if groups is None:
        raise CorpusError(
            f"corpus {store.corpus.name} knows no speakers: expected some for `normalise` speaker; take train or corpus"
        )
    values = standardise_within(_read_inputs(store, source, covered, layer), groups)
    return values[np.searchsorted(covered, rows)]


def _read_inputs(store: Store, source: str, rows: Rows, layer: int | None) -> NDArray[np.floating]:
    info = store.describe_member(source)
    if info.pooled is None and info.logits is not None and layer is None:
        return np.asarray(store.logits([source], rows)[0])
    return store.pooled(source, rows, layer=layer)


def standardise_within(values: NDArray[np.floating], groups: NDArray[Any]) -> NDArray[np.float64]:
    """Give each dimension mean 0 and standard deviation 1 within every group; where all are alike, 0.

    Args:
        values: ``(n, d)``.
        groups: ``(n,)``, what tells the groups apart.

    >>> standardise_within(np.array([[1.0], [3.0], [10.0], [10.0]]), np.array(["a", "a", "b", "b"])).ravel().tolist()
    [-1.0, 1.0, 0.0, 0.0]
    """
    standardised = np.empty(values.shape)
    for group in np.unique(groups):
        own = groups == group
        centred = values[own].astype(np.float64)
        centred -= centred.mean(axis=0)
        deviation = centred.std(axis=0)
        standardised[own] = centred / np.where(deviation > 0, deviation, 1)
    return standardised
