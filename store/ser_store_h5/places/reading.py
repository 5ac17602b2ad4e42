"""Reading many members at once: aligned by utterance, only the rows asked for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ser_store_h5.errors import StoreError
from ser_store_h5.member import name_layers
from ser_store_h5.member_file import MemberFile
from ser_store_h5.names import format_member

Rows = NDArray[np.int32]
WIDTHS = (np.float16, np.float32, np.float64)


def check_rows(rows: Any, n: int) -> Rows:
    """Rows as int32, in the order given.

    Raises:
        StoreError: if they are no indices into ``n`` utterances.
    """
    found = np.asarray(rows)
    if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size):
        raise StoreError(
            f"rows are {found.dtype} of shape {found.shape}: expected one axis of indices into {n} utterances"
        )
    if len(found) and not 0 <= found.min() <= found.max() < n:
        raise StoreError(f"rows {found.min()} to {found.max()}: expected indices into {n} utterances")
    return found.astype(np.int32, copy=False)


@dataclass(frozen=True)
class AlignedMember:
    """One open member and the rows that are read of it.

    Attributes:
        rows: indices into the corpus, checked.
        tell_ids: the ids of some rows, for messages.
    """

    file: MemberFile
    rows: Rows
    tell_ids: Callable[[Rows], NDArray[np.str_]]

    @property
    def name(self) -> str:
        return format_member(self.file.run, self.file.step)

    def _read(self, array: str) -> NDArray[Any]:
        own = self.file.read_rows()
        is_all = np.array_equal(own, self.rows)
        return self.file.read_array(array, len(own), None if is_all else self._find_places(own))

    def _find_places(self, own: Rows) -> NDArray[np.intp]:
        """Return where the rows stand among the member's ``own``; refuse those that it does not cover."""
        rows = self.rows
        places = np.minimum(np.searchsorted(own, rows), len(own) - 1)
        missing = rows[own[places] != rows]
        if len(missing):
            first = ", ".join(self.tell_ids(missing[:3])) + (", …" if len(missing) > 3 else "")
            raise StoreError(
                f"{self.name} says nothing about {len(missing)} of the {len(rows)} utterances asked for ({first}): "
                "expected all; choose another part or split, leave the member out, or make the missing ones with "
                "`extract()`"
            )
        return places

    def read_predictions(self) -> NDArray[np.int16]:
        if "logits" in self.file.names:
            return np.asarray(self._read("logits").argmax(axis=1), dtype=np.int16)
        if "predicted" in self.file.names:
            return self._read("predicted")
        raise StoreError(
            f"{self.name} has pooled representations only: expected logits or labels; `head()` fits "
            "a classifier on them"
        )

    def read_answers(self) -> NDArray[Any]:
        return self._read("logits") if "logits" in self.file.names else self.read_predictions()

    def read_logits(self) -> NDArray[np.float32]:
        if "logits" in self.file.names:
            return self._read("logits")
        held = "labels" if "predicted" in self.file.names else "pooled representations"
        raise StoreError(f"{self.name} has {held} only: expected logits, which this rule needs")

    def read_pooled(self, layer: int | None) -> tuple[str, NDArray[Any]]:
        """Return the member's name, and its pooled representations of a layer, by default the last."""
        if "pooled" not in self.file.names:
            raise StoreError(
                f"{self.name} has no pooled representations: expected a member of finetune or extract; one that is "
                "pooled over folds has none, since those of different models cannot be compared"
            )
        if layer is None:
            return self.name, self._read("pooled")
        names = name_layers(self.file.layers)
        if layer not in names:
            held = f"layers {', '.join(map(str, names))}" if names else "its last layer only, without a number"
            raise StoreError(
                f"{self.name} has {held}: expected one of them as `layer`, not {layer!r}; leave it out, "
                "or extract the layer under another `run`"
            )
        return self.name, self._read(names[layer])


def _check_width(dtype: DTypeLike | None) -> np.dtype[Any] | None:
    try:
        asked = None if dtype is None else np.dtype(dtype)
    except TypeError:
        asked = np.dtype(object)
    if asked is not None and asked not in WIDTHS:
        raise StoreError(f"dtype {dtype!r}: expected float16, float32 or float64, or None for what is stored")
    return asked


def stack_pooled(members: Iterable[tuple[str, NDArray[Any]]], n_members: int, dtype: DTypeLike | None) -> NDArray[Any]:
    """Return pooled representations of members one upon the other, ``(n_members, n, d)``.

    Its numbers are as wide as the widest member's, unless ``dtype`` widens them.
    """
    if not n_members:
        raise StoreError("no members were named: expected at least one whose pooled representations to read")
    asked, first = _check_width(dtype), ""
    stacked: NDArray[Any] = np.empty((0, 0, 0))
    for place, (name, pooled) in enumerate(members):
        if asked is not None and asked.itemsize < pooled.itemsize:
            raise StoreError(
                f"{name} has {pooled.dtype} pooled representations: expected no narrower a dtype than that"
            )
        if n_members == 1:
            return pooled.astype(asked or pooled.dtype, copy=False)[np.newaxis]
        if place == 0:
            first, stacked = name, np.empty((n_members, *pooled.shape), dtype=asked or pooled.dtype)
        if pooled.shape[1] != stacked.shape[2]:
            raise StoreError(
                f"{name} has {pooled.shape[1]} hidden dimensions, {first} has {stacked.shape[2]}: expected the same of "
                "all to stack them; read them one at a time"
            )
        if pooled.itemsize > stacked.itemsize:
            stacked = stacked.astype(pooled.dtype)
        stacked[place] = pooled
    return stacked
