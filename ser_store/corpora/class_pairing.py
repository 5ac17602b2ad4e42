"""The classes of a model beside those of another corpus: what it says of that corpus' utterances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.label_map import LabelMap
from ser_store.corpora.texts import match_names
from ser_store.errors import CorpusError
from ser_store_h5.from_arrays import take_logarithms
from ser_store_h5.member import NO_ANSWER

# In `run.json` of a run that answers in another corpus than it learned in.
KEY = "applied"


@dataclass(frozen=True)
class Pairing:
    """Which classes of a model mean which ones of a corpus.

    Attributes:
        own: classes of the model, in the order of its logits.
        there: classes of the corpus, in order.
        meant: by the index of each class of the model that the corpus has, the index of that one.
    """

    own: tuple[str, ...]
    there: tuple[str, ...]
    meant: Mapping[int, int]

    @property
    def is_same(self) -> bool:
        """Whether the model's logits are those of the corpus' classes as they stand."""
        return list(self.meant.items()) == [(place, place) for place in range(len(self.there))] and not self.left_out

    @property
    def shared(self) -> tuple[str, ...]:
        """The classes of the corpus that the model can answer."""
        return tuple(name for place, name in enumerate(self.there) if place in self._answered)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The classes of the model that are none of the corpus'."""
        return tuple(name for place, name in enumerate(self.own) if place not in self.meant)

    @property
    def unsaid(self) -> tuple[str, ...]:
        """The classes of the corpus that the model cannot answer."""
        return tuple(name for place, name in enumerate(self.there) if place not in self._answered)

    @cached_property
    def _answered(self) -> frozenset[int]:
        return frozenset(self.meant.values())

    def check(self, model: str, where: str) -> "Pairing":
        """Return the pairing itself, unless there is nothing to choose between.

        Raises:
            CorpusError: if fewer than two classes are shared.
        """
        if len(self._answered) < 2:
            raise CorpusError(
                f"{where} has the classes {', '.join(self.there)}: expected at least two of those of {model}, "
                f"{', '.join(self.own)}; `labels` with a label map says which mean the same"
            )
        return self

    def place(self, logits: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return logits of the model's classes ``(n, c)`` as those of the corpus' classes, float32.

        Classes of the model that mean the same add up their probabilities. One that it cannot answer has the logit of
        probability 0, as the store keeps it: finite, 87 below the sum of all others, so that it never wins.
        """
        if self.is_same:
            return logits.astype(np.float32, copy=False)
        placed = np.full((len(logits), len(self.there)), -np.inf)
        for own, there in self.meant.items():
            placed[:, there] = np.logaddexp(placed[:, there], logits[:, own])
        nothing = np.logaddexp.reduce(placed, axis=1) + take_logarithms(np.zeros(1))
        unsaid = [place for place in range(len(self.there)) if place not in self._answered]
        placed[:, unsaid] = nothing[:, None]
        return placed.astype(np.float32)

    def translate(self, predicted: NDArray[np.integer[Any]]) -> NDArray[np.int16]:
        """Return class indices of the model ``(n,)`` as those of the corpus; -1 for what is none of its classes."""
        codes = np.array([self.meant.get(place, NO_ANSWER) for place in range(len(self.own))] + [NO_ANSWER])
        return np.asarray(codes[predicted], dtype=np.int16)

    def describe(self, model: str) -> list[str]:
        """Return a line on the classes that only one of the two has; none where both have the same."""
        said = []
        if self.left_out:
            verb = "is" if len(self.left_out) == 1 else "are"
            said.append(f"{', '.join(self.left_out)} {verb} left out of what {model} chooses among")
        if self.unsaid:
            said.append(f"{model} never answers {', '.join(self.unsaid)}")
        return [f"classes of both: {', '.join(self.shared)}; {'; '.join(said)}"] if said else []

    def to_json(self) -> dict[str, list[str]]:
        """Return what the record of a run says of it under ``applied``."""
        return {"classes": list(self.own), "left_out": list(self.left_out), "unsaid": list(self.unsaid)}


def pair_classes(own: Sequence[str], there: Sequence[str], labels: LabelMap | None = None) -> Pairing:
    """Pair the classes of a model with those of a corpus, by name or by what a label map says that they mean.

    Raises:
        CorpusError: if several classes of the corpus mean the same, so that one answer could be any of them.

    >>> pair_classes(["Angry", "calm", "sad"], ["angry", "bored", "sad"]).describe("xlsr53")
    ['classes of both: angry, sad; calm is left out of what xlsr53 chooses among; xlsr53 never answers bored']
    """
    meant_there = list(there) if labels is None else labels.apply(there)
    known = [name for name in meant_there if name is not None]
    twice = next((name for name in known if known.count(name) > 1), None)
    if twice is not None and labels is not None:
        several = [name for name, meant in zip(there, meant_there, strict=True) if meant == twice]
        raise CorpusError(
            f"{labels.file} takes {', '.join(several)} for one class, {twice}: expected it of the corpus that is "
            "answered about as well; `join()` with `labels` makes a store with these classes of one that is there"
        )
    meant_own = list(own) if labels is None else labels.apply(own)
    found = match_names([name for name in meant_own if name is not None], known)
    places = {name: place for place, name in enumerate(meant_there) if name is not None}
    pairs = {place: places[found[name]] for place, name in enumerate(meant_own) if name is not None and name in found}
    return Pairing(tuple(own), tuple(there), pairs)
