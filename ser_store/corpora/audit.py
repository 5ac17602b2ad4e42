"""What is wrong with a split, and with the recordings: leakage, balance, copies, files that changed or went."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.building import read_recordings
from ser_store.corpora.splits import twin_groups
from ser_store.errors import CorpusError
from ser_store.progress import Progress, silent
from ser_store_h5.corpus import Corpus, StrArray


@dataclass(frozen=True)
class Audit:
    """Leakage across a split, and copies in the corpus. Utterances outside the split count in no part.

    Attributes:
        split: the split that was looked at; None if the corpus has none, all utterances being one part ``all``.
        n: utterances of every part.
        classes: utterances of every class, zero included, in every part.
        speakers: different speakers in every part; None where speakers are unknown.
        shared_speakers: speakers in more than one part; None where speakers are unknown.
        twins_across: groups of twins (:func:`~ser_store.corpora.splits.twin_groups`) in more than one part; this and
            the next two are None where twins are unknown.
        test_with_twin_in_train: test utterances with a twin in train. Where a split has no train and test but folds,
            each fold is the test of what is trained on the others: utterances with a twin in another part.
        test_with_twin_in_train_share: the same as a fraction of the test utterances (of all utterances for folds).
        duplicate_audio: groups of ids whose decoded audio is the same, sample by sample; None without audio.
        duplicate_audio_across: how many of these groups are in more than one part; None without audio.
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

    def to_json(self) -> dict[str, Any]:
        """The fields by name, ready for :func:`json.dumps`."""
        return asdict(self)


def compute_audit(corpus: Corpus, *, split: str | None = None) -> Audit:
    """Audit one split (default: the corpus' default split) of the corpus. Reads no file.

    Raises:
        UnknownNameError: if the corpus has no such split.
    """
    if split is None and not corpus.splits:
        name, parts, part_names = None, np.full(len(corpus), "all"), ["all"]
    else:
        name, parts, part_names = split or corpus.default_split, corpus.parts(split), corpus.part_names(split)
    n = {part: int(np.count_nonzero(parts == part)) for part in part_names}
    twins = twin_groups(corpus)
    leaked = None if twins is None else _count_leaked(parts, twins)
    tried = n["test"] if {"train", "test"} <= n.keys() else sum(n.values())
    duplicates = None if corpus.audio_digests is None else _find_duplicates(corpus.audio_digests)
    return Audit(
        split=name,
        n=n,
        classes={part: _count_classes(corpus, parts == part) for part in part_names},
        speakers=None
        if corpus.speakers is None
        else {part: len(np.unique(corpus.speakers[parts == part])) for part in part_names},
        shared_speakers=None if corpus.speakers is None else _count_across(parts, corpus.speakers),
        twins_across=None if twins is None else _count_across(parts, twins),
        test_with_twin_in_train=leaked,
        test_with_twin_in_train_share=None if leaked is None else leaked / tried,
        duplicate_audio=None if duplicates is None else [corpus.ids[rows].tolist() for rows in duplicates],
        duplicate_audio_across=None
        if duplicates is None
        else sum(len(set(parts[rows].tolist()) - {""}) > 1 for rows in duplicates),
    )


def find_bad_files(corpus: Corpus, audio_root: Path, *, progress: Progress = silent) -> list[str]:
    """Decode every recording again; one line for each that is missing, unusable or not what it was, by path.

    Raises:
        CorpusError: if the corpus has no audio, or ``audio_root`` is no folder.
        MissingExtraError: without the ``train`` extra.
    """
    if corpus.paths is None or corpus.audio_digests is None:
        raise CorpusError("the corpus was made without audio: expected recordings to look at; make it with --audio DIR")
    if not audio_root.is_dir():
        raise CorpusError(f"{audio_root} is not a folder: expected the recordings' folder; name it with --audio DIR")
    order = np.argsort(corpus.paths, kind="stable")
    paths = [audio_root / path for path in corpus.paths[order].tolist()]
    bad = []
    for row, path, recording in zip(order, paths, read_recordings(paths, progress=progress), strict=True):
        if recording.problem is not None:
            bad.append(recording.problem)
        elif recording.digest != corpus.audio_digests[row].tobytes():
            bad.append(
                f"{path} is not the recording that the corpus was made from: expected the same samples; bring the "
                f"old file back, or make the store anew"
            )
    return bad


def _count_classes(corpus: Corpus, inside: NDArray[np.bool_]) -> dict[str, int]:
    counts = np.bincount(corpus.labels[inside], minlength=len(corpus.classes))
    return dict(zip(corpus.classes, counts.tolist(), strict=True))


def _count_across(parts: StrArray, groups: NDArray[Any]) -> int:
    """How many groups have utterances in more than one part."""
    return sum(len(sides) > 1 for sides in _sides(parts, groups).values())


def _sides(parts: StrArray, groups: NDArray[Any]) -> dict[object, set[str]]:
    sides: dict[object, set[str]] = defaultdict(set)
    for part, group in zip(parts.tolist(), groups.tolist(), strict=True):
        if part:
            sides[group].add(part)
    return sides


def _count_leaked(parts: StrArray, twins: NDArray[np.int64]) -> int:
    sides = _sides(parts, twins)
    rows = zip(parts.tolist(), twins.tolist(), strict=True)
    if {"train", "test"} <= set(parts.tolist()):
        return sum(part == "test" and "train" in sides[group] for part, group in rows)
    return sum(part != "" and len(sides[group]) > 1 for part, group in rows)


def _find_duplicates(digests: NDArray[np.uint8]) -> Sequence[list[int]]:
    rows: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        rows[digest.tobytes()].append(row)
    return [group for group in rows.values() if len(group) > 1]
