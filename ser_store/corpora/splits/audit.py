"""What is wrong with a split: leakage, balance, copies on both sides."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.splits.draw import twin_groups
from ser_store_h5.corpus import Corpus, StrArray

# Minutes among seconds. Natural corpora get there at their very ends: half of IEMOCAP is below 3.5 s, one has 34 s.
UNUSUAL_FACTOR = 8.0


@dataclass(frozen=True)
class Audit:
    """Leakage across a split, and copies in the corpus. Utterances outside the split count in no part.

    Attributes:
        split: the split that was looked at; None if the corpus has none, all utterances being one part ``all``.
        n: utterances of every part.
        classes: utterances of every class, zero included, in every part.
        speakers: different speakers in every part; None where speakers are unknown.
        shared_speakers: speakers in more than one part; None where speakers are unknown.
        twins_across: groups of twins (:func:`~ser_store.corpora.splits.draw.twin_groups`) in more than one part; this
            and the next two are None where twins are unknown.
        test_with_twin_in_train: test utterances (without a test part: all outside train) with a twin in train. Where
            a split has folds, each is the test of what is trained on the others: utterances with a twin in another.
        test_with_twin_in_train_share: the same as a fraction of these utterances (of all utterances for folds).
        duplicate_audio: groups of ids whose decoded audio is the same, sample by sample; None without audio.
        duplicate_audio_across: how many of these groups are in more than one part; None without audio.
        near_duplicates: groups of ids whose recordings are one and the same, bit by bit or cut, amplified, resampled
            or encoded again; None where the recordings were not listened to.
        near_duplicates_across: how many of these groups are in more than one part; None as above.
    """

    split: str | None
    n: dict[str, int]
    classes: dict[str, dict[str, int]]
    speakers: dict[str, int] | None
    shared_speakers: int | None
    twins_across: int | None
    test_with_twin_in_train: int | None
    test_with_twin_in_train_share: float | None
    duplicate_audio: list[list[str]] | None
    duplicate_audio_across: int | None
    near_duplicates: list[list[str]] | None
    near_duplicates_across: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name, ready for :func:`json.dumps`."""
        return asdict(self)


def compute_audit(
    corpus: Corpus, *, split: str | None = None, near_duplicates: Sequence[Sequence[int]] | None = None
) -> Audit:
    """Audit one split of the corpus, without reading any file.

    Args:
        near_duplicates: groups of rows, as :func:`~ser_store.corpora.inspection.inspect_recordings` finds them.

    Raises:
        UnknownNameError: if the corpus has no such split.

    >>> import ser_store as ss
    >>> corpus = ss.open_example().corpus
    >>> compute_audit(corpus).n
    {'test': 288}
    """
    if split is None and not corpus.splits:
        name, parts, part_names = None, np.full(len(corpus), "all"), ["all"]
    else:
        name, parts, part_names = split or corpus.default_split, corpus.parts(split), corpus.part_names(split)
    n = {part: int(np.count_nonzero(parts == part)) for part in part_names}
    twins = twin_groups(corpus)
    tried = parts == "test" if {"train", "test"} <= n.keys() else (parts != "") & (parts != "train")
    leaked = None if twins is None else int(np.count_nonzero(_flag_seen(parts, twins) & tried))
    speakers = corpus.speaker_groups()
    duplicates = None if corpus.audio_digests is None else _find_duplicates(corpus.audio_digests)
    return Audit(
        split=name,
        n=n,
        classes={part: _count_classes(corpus, parts == part) for part in part_names},
        speakers=None
        if corpus.speakers is None or speakers is None
        else {part: len(set(corpus.speakers[parts == part].tolist()) - {""}) for part in part_names},
        shared_speakers=None if speakers is None else _count_across(parts, speakers),
        twins_across=None if twins is None else _count_across(parts, twins),
        test_with_twin_in_train=leaked,
        test_with_twin_in_train_share=None if leaked is None else leaked / max(1, int(np.count_nonzero(tried))),
        duplicate_audio=_name_groups(corpus, duplicates),
        duplicate_audio_across=_count_groups_across(parts, duplicates),
        near_duplicates=_name_groups(corpus, near_duplicates),
        near_duplicates_across=_count_groups_across(parts, near_duplicates),
    )


def find_unusual_durations(corpus: Corpus) -> tuple[tuple[tuple[str, float], ...], tuple[str, ...]]:
    """Return ids and seconds of recordings far longer or shorter than the median, longest first; and a caution.

    Far means by a factor of more than ``UNUSUAL_FACTOR``. Both are empty where durations are not known.
    """
    column = corpus.columns.get("duration")
    if column is None or column.dtype.kind != "f":
        return (), ()
    durations = np.asarray(column, dtype=np.float64)
    median = float(np.nanmedian(durations))
    unusual = np.flatnonzero((durations > UNUSUAL_FACTOR * median) | (durations * UNUSUAL_FACTOR < median))
    longest_first = unusual[np.argsort(-durations[unusual], kind="stable")].tolist()
    found = tuple((str(corpus.ids[row]), float(durations[row])) for row in longest_first)
    if not found:
        return (), ()
    ends = found[:: max(1, len(found) - 1)]
    extremes = " to ".join(f"{utterance} of {seconds:,.1f} s" for utterance, seconds in ends)
    return found, (
        f"recordings out of line in length: {len(found):,} of {len(corpus):,}, {extremes}, where the median is "
        f"{median:,.1f} s; are they whole sessions among utterances, or cut off?",
    )


def flag_leaks(
    corpus: Corpus, rows: NDArray[np.int32], *, split: str | None = None, copies: Sequence[Sequence[int]] = ()
) -> dict[str, NDArray[np.bool_]]:
    """Flag the utterances that the training side of a split tells something of.

    The training side is ``train`` where the split has it, else everything in another part.

    Args:
        copies: groups of rows whose recordings are the same.

    Returns:
        ``(len(rows),)`` bool for each kind of leak: ``speaker``, who is trained on too; ``twin``
        (:func:`~ser_store.corpora.splits.draw.twin_groups`); ``audio``, the same recording. Kinds of which nothing is
        known are left out.

    Raises:
        UnknownNameError: if the corpus has no such split.
    """
    parts = corpus.parts(split)
    twins = twin_groups(corpus)
    leaks: dict[str, NDArray[np.bool_]] = {}
    if (speakers := corpus.speaker_groups()) is not None:
        leaks["speaker"] = _flag_seen(parts, speakers)[rows]
    if twins is not None:
        leaks["twin"] = _flag_seen(parts, twins)[rows]
    if corpus.audio_digests is not None or copies:
        same = np.arange(len(corpus))
        for group in copies or _find_duplicates(corpus.audio_digests):
            same[list(group)] = group[0]
        leaks["audio"] = _flag_seen(parts, same)[rows]
    return leaks


def _count_classes(corpus: Corpus, inside: NDArray[np.bool_]) -> dict[str, int]:
    counts = np.bincount(corpus.labels[inside], minlength=len(corpus.classes))
    return dict(zip(corpus.classes, counts.tolist(), strict=True))


def _count_across(parts: StrArray, groups: NDArray[Any]) -> int:
    """How many groups have utterances in more than one part."""
    return sum(len(sides) > 1 for sides in _sides(parts, groups).values())


def _name_groups(corpus: Corpus, groups: Sequence[Sequence[int]] | None) -> list[list[str]] | None:
    return None if groups is None else [corpus.ids[list(rows)].tolist() for rows in groups]


def _count_groups_across(parts: StrArray, groups: Sequence[Sequence[int]] | None) -> int | None:
    return None if groups is None else sum(len(set(parts[list(rows)].tolist()) - {""}) > 1 for rows in groups)


def _sides(parts: StrArray, groups: NDArray[Any]) -> dict[object, set[str]]:
    sides: dict[object, set[str]] = defaultdict(set)
    for part, group in zip(parts.tolist(), groups.tolist(), strict=True):
        if part:
            sides[group].add(part)
    return sides


def _flag_seen(parts: StrArray, groups: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether one of the utterance's group is trained on when the utterance itself is evaluated, ``(n,)`` bool."""
    sides = _sides(parts, groups)
    rows = zip(parts.tolist(), groups.tolist(), strict=True)
    if "train" in parts.tolist():
        return np.array([part not in ("", "train") and "train" in sides[group] for part, group in rows])
    return np.array([part != "" and len(sides[group]) > 1 for part, group in rows])


def _find_duplicates(digests: NDArray[np.uint8] | None) -> Sequence[list[int]]:
    rows: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(() if digests is None else digests):
        rows[digest.tobytes()].append(row)
    return [group for group in rows.values() if len(group) > 1]
