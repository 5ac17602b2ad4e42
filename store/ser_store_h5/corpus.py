"""The corpus as a value: labelled utterances, their columns and their splits. Knows no file and no emotion."""

import hashlib
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.errors import CorpusError, FormatError, UnknownNameError, describe_unknown
from ser_store_h5.hdf5.attributes import encode_strings, iter_with_lengths

StrArray = NDArray[np.str_]
Column = NDArray[np.str_] | NDArray[np.int64] | NDArray[np.float64]

MAX_CLASSES = 1024
_NUMBER = re.compile(r"[+-]?[0-9]+(\.0+)?")


def order_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return the classes, each once, by alphabet; names that are all whole numbers as numbers.

    Ties go to the lowest class, so the order decides who wins them: data frames, too, sort labels that are all whole
    numbers as numbers, and any others as text.

    >>> order_classes(["10", "2", "1"]), order_classes(["happy", "angry"]), order_classes(["10", "2", "x"])
    (('1', '2', '10'), ('angry', 'happy'), ('10', '2', 'x'))
    """
    classes = sorted(set(names))
    if all(_NUMBER.fullmatch(name) for name in classes):
        classes.sort(key=Decimal)
    return tuple(classes)


class Splitted(ABC):
    """Utterances with splits: what a part of a split means.

    Attributes:
        splits: split name to the part of every utterance, ``(n,)`` str.
        default_split: the split that is meant where none is named, or None if there are no splits.
    """

    splits: Mapping[str, StrArray]
    default_split: str | None

    @abstractmethod
    def __len__(self) -> int: ...

    def parts(self, split: str | None = None) -> StrArray:
        """Return the part of every utterance, ``(n,)`` str, in ``split`` (default: the corpus' default split).

        Raises:
            UnknownNameError: if the corpus has no such split.
        """
        chosen = split or self.default_split
        if chosen is None or chosen not in self.splits:
            raise UnknownNameError(
                describe_unknown("split", chosen or "", self.splits, way_out="`init()` with `split` adds one")
            )
        return self.splits[chosen]

    def part_names(self, split: str | None = None) -> list[str]:
        """Return the parts of a split: train, valid, test first where they occur, then the others by name."""
        present = set(self.parts(split).tolist()) - {""}  # np.unique would import numpy.ma: 25 ms
        usual = [part for part in ("train", "valid", "test") if part in present]
        return usual + sorted(present - set(usual), key=lambda part: (len(part), part))

    def rows(self, on: str | None = None, *, split: str | None = None) -> NDArray[np.int32]:
        """Return the utterances meant by ``on``, as ascending indices ``(m,)`` int32.

        Args:
            on: a part of the split (``test``, ``fold-3``), or ``all``. Default: ``test`` where the split has
                such a part, else all.
            split: default: the corpus' default split.

        Raises:
            UnknownNameError: if the split has no such part.
        """
        if on == "all" or (on is None and not self.splits):
            return np.arange(len(self), dtype=np.int32)
        chosen = np.flatnonzero(self.parts(split) == (on or "test")).astype(np.int32)
        if on and len(chosen):
            return chosen
        if on is None:
            return chosen if len(chosen) else np.arange(len(self), dtype=np.int32)
        raise UnknownNameError(describe_unknown("part", on, [*self.part_names(split), "all"]))


@dataclass(frozen=True)
class CorpusHeader(Splitted):
    """What members need to know of their corpus: all but its utterances, so that a large one need not be read.

    Attributes:
        name: what the corpus is called.
        digest: as :attr:`Corpus.digest`; it is the file's word, compared with the ids where the corpus is read.
        n: number of utterances.
        classes: class names in order.
        splits: each is read when it is asked for.
        default_split: the split that is meant where none is named, or None if there are no splits.
    """

    name: str
    digest: str
    n: int
    classes: tuple[str, ...]
    splits: Mapping[str, StrArray]
    default_split: str | None

    def __len__(self) -> int:
        return self.n


@dataclass(frozen=True)
class Corpus(Splitted):
    """Labelled utterances in ascending order of id; ``n`` of them, ``c`` classes.

    Attributes:
        name: what the corpus is called, e.g. ``ravdess``.
        ids: ``(n,)`` str, unique, ascending, none empty.
        labels: ``(n,)`` int16, indices into ``classes``.
        classes: class names, as :func:`order_classes` orders them unless stated otherwise where the corpus was made.
        speakers: ``(n,)`` str, the empty string where unknown; None where all are.
        columns: further columns, each ``(n,)`` of str, int64 or float64.
        splits: split name to the part of every utterance, ``(n,)`` str: ``train``, ``valid``, ``test``,
            ``fold-1`` …, or the empty string for utterances outside the split.
        default_split: the split that is meant where none is named, or None if there are no splits.
        paths: ``(n,)`` str, relative to ``audio_root`` with forward slashes, or None without audio.
        audio_root: the folder of the recordings when the corpus was made, or None.
        audio_digests: ``(n, 32)`` uint8, SHA-256 of the decoded samples, or None without audio.

    >>> import ser_store as ss
    >>> corpus = ss.Store.create("my.store", ids=["b", "a"], labels=["sad", "happy"]).corpus
    >>> corpus.ids.tolist(), [corpus.classes[label] for label in corpus.labels]
    (['a', 'b'], ['happy', 'sad'])
    """

    name: str
    ids: StrArray
    labels: NDArray[np.int16]
    classes: tuple[str, ...]
    speakers: StrArray | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    splits: Mapping[str, StrArray] = field(default_factory=dict)
    default_split: str | None = None
    paths: StrArray | None = None
    audio_root: str | None = None
    audio_digests: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        if n == 0:
            raise CorpusError("the corpus has no utterances: expected at least one")
        if not 2 <= len(self.classes) <= MAX_CLASSES:
            raise CorpusError(
                f"the corpus has {len(self.classes)} classes ({', '.join(self.classes[:3])}): expected 2 to "
                f"{MAX_CLASSES}; check that the label column holds the emotions"
            )
        if n > 1 and not bool(np.all(self.ids[:-1] < self.ids[1:])):
            raise CorpusError("utterance ids must be unique and ascending; sort them and drop the duplicates")
        if not self.ids[0]:
            raise CorpusError("an utterance has an empty id: expected a name, such as that of its recording")
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise CorpusError(f"labels must lie in 0..{len(self.classes) - 1}, the indices of the classes")
        if len(set(self.classes)) < len(self.classes) or any(not name or "\0" in name for name in self.classes):
            raise CorpusError(
                f"classes are {', '.join(map(repr, self.classes[:12]))}: expected different names, none of them empty"
            )
        per_utterance: list[tuple[str, Sized | None]] = [("labels", self.labels), ("speakers", self.speakers)]
        per_utterance += [("paths", self.paths), ("audio_digests", self.audio_digests)]
        for name, values in (*per_utterance, *self.columns.items(), *self.splits.items()):
            if values is not None and len(values) != n:
                raise CorpusError(f"{name} has {len(values)} entries: expected {n}, one per utterance")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of ids, classes and labels: two corpora with the same digest can share members."""
        identity = hashlib.sha256()
        try:
            for texts in (encode_strings(np.array([*self.classes, ""])), encode_strings(self.ids)):
                for piece in iter_with_lengths(texts):
                    identity.update(piece)
        except FormatError as problem:
            raise CorpusError(str(problem)) from problem
        identity.update(self.labels.astype("<i2").tobytes())
        return identity.hexdigest()

    def describe_difference(self, given: "Corpus") -> str:
        """Say what keeps ``given`` from sharing members with this corpus, with examples; empty if nothing does."""
        found = []
        for kind, own, other in (("ids", self.ids, given.ids), ("classes", self.classes, given.classes)):
            for names, others, text in ((other, own, "given but not there"), (own, other, "there but not given")):
                only = np.setdiff1d(names, others)
                if len(only):
                    found.append(f"{kind} {text}: {len(only)}, the first {str(only[0])!r}")
        common, here, there = np.intersect1d(self.ids, given.ids, return_indices=True)
        was, now = np.array(self.classes)[self.labels[here]], np.array(given.classes)[given.labels[there]]
        changed = np.flatnonzero(was != now)
        if len(changed):
            label = f"that of {str(common[changed[0]])!r} ({was[changed[0]]} there, {now[changed[0]]} given)"
            found.append(f"labels that differ: {len(changed)} of {len(common)}, the first {label}")
        if not found and self.classes != given.classes:
            orders = f"{', '.join(self.classes[:12])} there; {', '.join(given.classes[:12])} given"
            found.append(f"the classes are in another order ({orders})")
        return "; ".join(found)

    def with_split(self, name: str, parts: StrArray) -> "Corpus":
        """Return the same corpus with one more split, which becomes the default one if there was none."""
        return replace(self, splits={**self.splits, name: parts}, default_split=self.default_split or name)

    @property
    def known_speakers(self) -> list[str]:
        """The different speakers, ascending, without the unknown ones."""
        return [] if self.speakers is None else sorted(set(self.speakers.tolist()) - {""})

    def speaker_groups(self, rows: NDArray[np.integer[Any]] | None = None) -> StrArray | None:
        """Return the speaker of every utterance of ``rows`` (default: all), ``(m,)`` str, as groups for resampling.

        An utterance whose speaker is unknown is a group of its own. None where no speaker is known.
        """
        if self.speakers is None or not (self.speakers != "").any():
            return None
        chosen = np.arange(len(self)) if rows is None else rows
        speakers = self.speakers[chosen]
        if (speakers != "").all():
            return speakers
        return np.where(speakers == "", np.char.add("unknown speaker of ", self.ids[chosen]), speakers)

    def find(self, ids: Sequence[str] | StrArray) -> NDArray[np.int32]:
        """Return the row of every id, ``(len(ids),)`` int32, in the order asked for.

        An id that the corpus does not have is that of the one utterance that is called so in another Unicode form.

        Raises:
            UnknownNameError: naming the first id that the corpus does not have, and how many there are.
        """
        wanted = np.asarray(ids, dtype=np.str_)
        places = np.searchsorted(self.ids, wanted)
        places = np.minimum(places, len(self) - 1)
        unknown = self.ids[places] != wanted
        if unknown.any():
            composed = [self._composed.get(_compose(name), -1) for name in wanted[unknown].tolist()]
            places[unknown] = composed
            unknown[unknown] = np.array(composed) < 0
        if unknown.any():
            first = str(wanted[unknown][0])
            raise UnknownNameError(
                f"{int(unknown.sum())} of {len(wanted)} utterances are not in this corpus, the first is {first!r}: "
                f"expected ids such as {str(self.ids[0])!r}; is this the store of another corpus?"
            )
        return places.astype(np.int32)

    @cached_property
    def _composed(self) -> Mapping[str, int]:
        """The row of every id in composed form; -1 for the ids of several utterances that differ in form only."""
        rows: dict[str, int] = {}
        for row, name in enumerate(map(_compose, self.ids.tolist())):
            rows[name] = -1 if name in rows else row
        return rows


def _compose(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)
