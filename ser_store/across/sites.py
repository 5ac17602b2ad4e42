"""Several stores side by side: what their corpora are called here, and the classes that all of them have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import format_count
from ser_store.corpora.label_map import LabelMap
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.corpora.texts import match_names
from ser_store.errors import CorpusError, StoreError
from ser_store_h5.corpus import Corpus, order_classes
from ser_store_h5.store import Store, StoreLike, open_store


@dataclass(frozen=True, eq=False)
class Site:
    """One of several corpora.

    Attributes:
        name: of the corpus; of its store's folder where two corpora are called alike.
        store: that has it.
        codes: of each class of the corpus its index among the classes of all, ``(c,)`` int16; -1 where it is none.
        classes: those of all.
    """

    name: str
    store: Store
    codes: NDArray[np.int16]
    classes: tuple[str, ...]

    @property
    def corpus(self) -> Corpus:
        return self.store.corpus

    def truth(self, rows: Rows) -> NDArray[np.int16]:
        """Return the labels of some utterances as classes of all, ``(m,)``; -1 where theirs is none of them."""
        return np.asarray(self.codes[self.corpus.labels[rows]], dtype=np.int16)

    def keep(self, rows: Rows) -> Rows:
        """Return those of some utterances whose class all corpora have."""
        return rows[self.truth(rows) >= 0]

    def answer(self, member: str, rows: Rows) -> NDArray[np.int16]:
        """Return what a member chooses among the classes of all, ``(m,)``; -1 where it says another class alone."""
        said = self.store.answers([member], rows)[0]
        if said.ndim == 1:
            return np.asarray(np.where(said < 0, -1, self.codes[said]), dtype=np.int16)
        summed = np.full((len(rows), len(self.classes)), -np.inf)
        for place, code in enumerate(self.codes.tolist()):
            if code >= 0:
                summed[:, code] = np.logaddexp(summed[:, code], said[:, place])
        return np.asarray(summed.argmax(axis=1), dtype=np.int16)


def open_sites(stores: Sequence[StoreLike], labels: LabelMap | None = None) -> list[Site]:
    """Open several stores on the classes that all of them have, by name or by a label map.

    Raises:
        CorpusError: if fewer than two classes are shared.
        StoreError: if there are fewer than two stores, or one is named twice.
    """
    opened = [open_store(one) for one in stores]
    if len(opened) < 2 or len({one.path for one in opened}) < len(opened):
        said = ", ".join(str(one.path) for one in opened) or "none"
        raise StoreError(f"got the stores {said}: expected two or more different ones")
    meant = [list(one.corpus.classes) if labels is None else labels.apply(one.corpus.classes) for one in opened]
    first = [name for name in meant[0] if name is not None]
    found = [match_names([name for name in own if name is not None], first) for own in meant]
    classes = order_classes(set(first).intersection(*(own.values() for own in found)))
    if len(classes) < 2:
        shared = format_count(len(classes), "class") if classes else "no class"
        told = "; ".join(f"{one.corpus.name} has {', '.join(one.corpus.classes)}" for one in opened)
        raise CorpusError(
            f"the corpora share {shared}: {told}: expected at least two; `labels` with a label map says "
            "which mean the same"
        )
    places = {name: place for place, name in enumerate(classes)}
    return [
        Site(name, store, np.array([places.get(by_name.get(one or "", ""), -1) for one in own], np.int16), classes)
        for name, store, own, by_name in zip(name_sites(opened), opened, meant, found, strict=True)
    ]


def name_sites(stores: Sequence[Store]) -> list[str]:
    """Return a name for each corpus, all different: its own, else its store's, else the store's path."""
    ways = ([one.corpus.name for one in stores], [one.path.stem for one in stores], [str(one.path) for one in stores])
    return next(names for names in ways if len(set(names)) == len(names))
