"""What networks and feature sets give of recordings, each computed once however many answer from it."""

from collections.abc import Callable, Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from ser_store.extraction.sources import Extractor
from ser_store.inference.float16 import narrow_pooled
from ser_store.prediction.answers import Need, Outputs
from ser_store_h5.store import Store

Prepare = Callable[[str, Collection[int | None]], Extractor]


def compute_outputs(needs: Iterable[Need], n: int, prepare: Prepare, *, store: Store | None) -> dict[str, Outputs]:
    """Return what each member that is needed gives of ``n`` recordings.

    Representations are rounded as the store keeps them, since heads were fitted on such.

    Args:
        needs: members and layers of them.
        n: the number of recordings; their rows are 0 to ``n`` - 1.
        prepare: makes a member's network or feature set ready, for some of its layers.
        store: has the members; None where there is a network alone that no store need know.
    """
    layers: dict[str, dict[int | None, None]] = {}
    for member, layer in needs:
        layers.setdefault(member, {})[layer] = None
    return {member: _compute(prepare(member, own), n, member, list(own), store) for member, own in layers.items()}


def _compute(extractor: Extractor, n: int, member: str, layers: list[int | None], store: Store | None) -> Outputs:
    rows, nothing = np.arange(n, dtype=np.int32), np.empty(0, dtype=np.int32)
    logits: NDArray[np.float32] | None = None
    by_layer: NDArray[np.float32] | None = None
    for piece in extractor.compute(rows, nothing):
        if by_layer is None:
            by_layer = np.empty((len(piece.by_layer), n, piece.by_layer.shape[2]), dtype=np.float32)
        by_layer[:, piece.rows] = piece.by_layer
        if piece.logits is not None:
            if logits is None:
                logits = np.empty((n, piece.logits.shape[1]), dtype=np.float32)
            logits[piece.rows] = piece.logits
    if by_layer is None:
        raise ValueError("no recordings")
    held = () if store is None else store.describe_member(member).layers
    meant = {one: max(held) if one is None and held else one for one in layers}
    numbers: list[int | None] = sorted({*meant.values()}, key=lambda number: number or 0)
    kept = {number: _round(values, extractor) for number, values in zip(numbers, by_layer, strict=True)}
    return Outputs(logits, {one: kept[number] for one, number in meant.items()})


def _round(values: NDArray[np.float32], extractor: Extractor) -> NDArray[np.floating]:
    return narrow_pooled(values) if extractor.is_narrow else values
