"""Cautions of a split: why its figures are too good, or of little worth."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.splits.audit import flag_leaks
from ser_store.corpora.splits.speakers import FEW, list_splits_apart
from ser_store.corpora.splits.train_eval_rows import check_trainable
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus

_SHOWN = 4


def caution_split(corpus: Corpus, split: str | None = None) -> tuple[str, ...]:
    """Return the cautions of a split: shared speakers and recordings, missing classes, …

    Raises:
        UnknownNameError: if the corpus has no such split.
    """
    unusable = _caution_unusable(corpus, split)
    lines = [
        *unusable,
        *_caution_outside(corpus, split),
        *_caution_speakers(corpus, split),
        *_caution_copies(corpus, split),
        *_caution_classes(corpus, split, is_usable=not unusable),
    ]
    return tuple(f"split {split or corpus.default_split}: {line}" for line in lines)


def _describe_counts(corpus: Corpus, counts: Sequence[NDArray[np.int64]]) -> str:
    """Which classes are missing or have fewer than ``FEW``, in places that lack the same classes; empty if none."""
    least, most = np.min(counts, axis=0).tolist(), np.max(counts, axis=0).tolist()
    missing = [label for label, high in zip(corpus.classes, most, strict=True) if not high]
    few = [
        f"{_format_range(low, high)} of {label}"
        for label, low, high in zip(corpus.classes, least, most, strict=True)
        if 0 < high < FEW
    ]
    if len(few) == len(corpus.classes):
        few = [f"{_format_range(min(least), max(most))} of every class"]
    told = [f"none of {_shorten(missing)}"] if missing else []
    return "; ".join(told + ([f"only {_shorten(few)}"] if few else []))


def _caution_unusable(corpus: Corpus, split: str | None) -> list[str]:
    try:
        check_trainable(corpus, split)
    except CorpusError:
        return [f"only {_shorten(corpus.part_names(split))}: nothing can be trained and judged by it"]
    return []


def _caution_outside(corpus: Corpus, split: str | None) -> list[str]:
    parts = corpus.parts(split)
    outside = int(np.count_nonzero(parts == ""))
    if not outside:
        return []
    return [f"{outside} of {len(parts)} utterances are outside it: nothing is trained on them or judged by them"]


def _caution_speakers(corpus: Corpus, split: str | None) -> list[str]:
    if corpus.speakers is None:
        return []
    parts = corpus.parts(split)
    speakers = {part: set(corpus.speakers[parts == part].tolist()) - {""} for part in corpus.part_names(split)}
    times = Counter(speaker for own in speakers.values() for speaker in own)
    if "train" in speakers:
        trained = speakers.pop("train")
        told = [f"{len(own & trained)} of {len(own)} of {part}" for part, own in speakers.items() if own & trained]
        shared = f"{' and '.join(told)} are in train too" if told else ""
    else:
        several = sum(number > 1 for number in times.values())
        shared = f"{several} of {len(times)} are in several parts" if several else ""
    if not shared:
        return []
    apart = list_splits_apart(corpus)
    way_out = f"the split {apart} keeps speakers apart" if apart else "one speaker cannot be kept apart"
    return [f"of the speakers, {shared}: figures are of voices that were trained on, too good for new ones; {way_out}"]


def _caution_copies(corpus: Corpus, split: str | None) -> list[str]:
    if corpus.audio_digests is None:
        return []
    rows = np.arange(len(corpus), dtype=np.int32)
    copied = np.flatnonzero(flag_leaks(corpus, rows, split=split)["audio"])
    if not len(copied):
        return []
    return [
        f"recordings that are trained on too, under other names: {len(copied)}, the first that of "
        f"{str(corpus.ids[copied[0]])!r}: figures are too good; drop the copies from the corpus"
    ]


def _caution_classes(corpus: Corpus, split: str | None, *, is_usable: bool) -> list[str]:
    parts = corpus.parts(split)
    counts = {
        part: np.bincount(corpus.labels[parts == part], minlength=len(corpus.classes))
        for part in corpus.part_names(split)
    }
    trained: dict[str, NDArray[np.int64]] = {}
    if "train" in counts:
        trained = {"train": counts.pop("train")}
    elif is_usable:
        total = sum(counts.values())
        trained = {f"the training for {part}": total - own for part, own in counts.items()}
    return [
        *_tell_classes(corpus, trained, "too few to learn from"),
        *_tell_classes(corpus, counts, "too few to judge by"),
    ]


def _tell_classes(corpus: Corpus, counts: Mapping[str, NDArray[np.int64]], consequence: str) -> list[str]:
    """One line for all places that lack the same classes."""
    places: dict[tuple[bytes, bytes], list[str]] = defaultdict(list)
    for place, own in counts.items():
        if own.min() < FEW:
            places[(own == 0).tobytes(), (own < FEW).tobytes()].append(place)
    return [
        f"in {_shorten(where)} {_describe_counts(corpus, [counts[place] for place in where])}: {consequence} (expected "
        f"{FEW} or more)"
        for where in places.values()
    ]


def _format_range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def _shorten(names: Sequence[str]) -> str:
    rest = f", … ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
