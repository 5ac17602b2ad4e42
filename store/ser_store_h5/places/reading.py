"""Reading many members at once: aligned by utterance, only the rows asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ser_store_h5.corpus import CorpusHeader
from ser_store_h5.errors import StoreError
from ser_store_h5.member import find_places, name_layers
from ser_store_h5.member_file import MemberFile
from ser_store_h5.names import format_member
from ser_store_h5.places.place import Place

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
class Reader:
    """Reads the same rows of one member after another.

    Attributes:
        members: run and step of each.
        rows: indices into the corpus, checked.
        tell_ids: the ids of some rows, for messages.
    """

    place: Place
    header: CorpusHeader
    members: Sequence[tuple[str, int]]
    rows: Rows
    tell_ids: Callable[[Rows], list[str]]

    def _read_each(self, read: Callable[["_Aligned"], NDArray[Any]], keep: Callable[[int, NDArray[Any]], None]) -> None:
        with self.place.opened(self.header) as open_member:
            for place, (run, step) in enumerate(self.members):
                with open_member(run, step) as file:
                    keep(place, read(_Aligned(format_member(run, step), file, self.rows, self.tell_ids)))

    def read_predictions(self) -> NDArray[np.int16]:
        predicted = np.empty((len(self.members), len(self.rows)), dtype=np.int16)
        self._read_each(_Aligned.read_predictions, predicted.__setitem__)
        return predicted

    def read_logits(self) -> NDArray[np.float32]:
        logits = np.empty((len(self.members), len(self.rows), len(self.header.classes)), dtype=np.float32)
        self._read_each(_Aligned.read_logits, logits.__setitem__)
        return logits

    def read_answers(self) -> list[NDArray[Any]]:
        answers: list[NDArray[Any]] = [np.empty(0)] * len(self.members)
        self._read_each(_Aligned.read_answers, answers.__setitem__)
        return answers

    def read_pooled(self, dtype: DTypeLike | None, layer: int | None) -> NDArray[Any]:
        """``(k, n, d)``: as wide as the widest member's, unless widened; of one layer, by default the last."""
        if not self.members:
            raise StoreError("no members were named: expected at least one whose pooled representations to read")
        stack = _Stack([format_member(*member) for member in self.members], _check_width(dtype))
        self._read_each(lambda member: member.read_pooled(layer), stack.put)
        return stack.values


@dataclass(frozen=True)
class _Aligned:
    """One open member and the rows that are read of it."""

    name: str
    file: MemberFile
    rows: Rows
    tell_ids: Callable[[Rows], list[str]]

    def _read(self, array: str) -> NDArray[Any]:
        own = self.file.read_rows()
        is_all = np.array_equal(own, self.rows)
        places = None if is_all else find_places(self.name, own, self.rows, self.tell_ids)
        return self.file.read_array(array, len(own), places)

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

    def read_pooled(self, layer: int | None) -> NDArray[Any]:
        if "pooled" not in self.file.names:
            raise StoreError(
                f"{self.name} has no pooled representations: expected a member of finetune or extract; one that is "
                "pooled over folds has none, since those of different models cannot be compared"
            )
        if layer is None:
            return self._read("pooled")
        names = name_layers(self.file.layers)
        if layer not in names:
            held = f"layers {', '.join(map(str, names))}" if names else "its last layer only, without a number"
            raise StoreError(
                f"{self.name} has {held}: expected one of them as `layer`, not {layer!r}; leave it out, "
                "or extract the layer under another `run`"
            )
        return self._read(names[layer])


def _check_width(dtype: DTypeLike | None) -> np.dtype[Any] | None:
    try:
        asked = None if dtype is None else np.dtype(dtype)
    except TypeError:
        asked = np.dtype(object)
    if asked is not None and asked not in WIDTHS:
        raise StoreError(f"dtype {dtype!r}: expected float16, float32 or float64, or None for what is stored")
    return asked


class _Stack:
    """Pooled representations of members one upon the other; its numbers are those stored, at least as wide."""

    def __init__(self, names: list[str], dtype: np.dtype[Any] | None) -> None:
        self._names, self._dtype = names, dtype
        self.values: NDArray[Any] = np.empty((0, 0, 0))

    def put(self, place: int, pooled: NDArray[Any]) -> None:
        name = self._names[place]
        if self._dtype is not None and self._dtype.itemsize < pooled.itemsize:
            raise StoreError(
                f"{name} has {pooled.dtype} pooled representations: expected no narrower a dtype than that"
            )
        dtype = self._dtype or pooled.dtype
        if place == 0 and len(self._names) == 1:
            self.values = pooled.astype(dtype, copy=False)[np.newaxis]
            return
        if place == 0:
            self.values = np.empty((len(self._names), *pooled.shape), dtype=dtype)
        if pooled.shape[1] != self.values.shape[2]:
            raise StoreError(
                f"{name} has {pooled.shape[1]} hidden dimensions, {self._names[0]} has {self.values.shape[2]}: "
                "expected the same of all to stack them; read them one at a time"
            )
        if pooled.itemsize > self.values.itemsize:
            self.values = self.values.astype(pooled.dtype)
        self.values[place] = pooled
