"""``audit``: leakage and balance of a split, bad recordings, and the effect of leaks on accuracy."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_store.common.display import Block, Percent, Result, Table
from ser_store.corpora.splits.audit import Audit, compute_audit, find_unusual_durations, flag_leaks
from ser_store.corpora.splits.cautions import caution_split
from ser_store.errors import StoreError
from ser_store.evaluation.choice.member_choice import list_readable
from ser_store.evaluation.leakage import caution_leakage
from ser_store.statistics.leak_effect import LeakEffect, measure_leak_effect
from ser_store_h5.corpus import Corpus
from ser_store_h5.errors import FormatError, IntegrityError
from ser_store_h5.names import parse_member
from ser_store_h5.progress import Progress, ProgressLike, to_progress
from ser_store_h5.store import Store, StoreLike, open_store

if TYPE_CHECKING:
    from ser_store.corpora.inspection import Inspection


# Recordings of unusual length that are listed.
_TOLD = 5


@dataclass(frozen=True, repr=False)
class StoreAudit(Result):
    """The audit of a store.

    Attributes:
        audit: leakage and balance of the split.
        bad_files: recordings that are missing, unreadable or changed; None if none were looked for.
        leak_effects: accuracy on leaked against clean test utterances, for each member and kind of leak of which the
            test part has both.
        unusual_durations: ids and seconds of recordings whose length is out of line.
        cautions: a plain line for each thing that makes figures of the split too good or of little worth, and for
            what the members' models have learned from its test part.
    """

    audit: Audit
    bad_files: list[str] | None
    leak_effects: tuple[LeakEffect, ...]
    unusual_durations: tuple[tuple[str, float], ...] = ()
    cautions: tuple[str, ...] = ()

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore audit`` prints."""
        yield from tabulate_audit(self.to_json())

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each class and part: how many utterances it has there."""
        counts = self.to_json()["classes"]
        return [
            {"label": label, "part": part, "n": n} for part, classes in counts.items() for label, n in classes.items()
        ]

    def to_json(self) -> dict[str, Any]:
        leakage = [effect.to_json() for effect in self.leak_effects]
        told = {"bad_files": self.bad_files, "leakage": leakage, "cautions": list(self.cautions)}
        durations = [{"utterance": utterance, "seconds": seconds} for utterance, seconds in self.unusual_durations]
        return {**self.audit.to_json(), **told, "unusual_durations": durations}


def audit(
    store: StoreLike,
    *,
    split: str | None = None,
    audio: str | os.PathLike[str] | None = None,
    progress: ProgressLike = False,
) -> StoreAudit:
    """Audit a split of the store's corpus, its recordings where they can be found, and its members.

    Args:
        store: a store, or its path.
        split: a split of the corpus. Default: its default split.
        audio: the folder of the recordings, where it is not the one the corpus was made from.
        progress: show a bar over the recordings; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Raises:
        UnknownNameError: if the corpus has no such split.

    >>> import ser_store as ss
    >>> ss.audit(ss.open_example()).to_json()["n"]
    {'test': 288}
    """
    store = open_store(store)
    corpus = store.corpus
    inspected, unseen = _inspect(corpus, None if audio is None else Path(audio), to_progress(progress))
    bad_files, copies = (None, None) if inspected is None else (list(inspected.bad_files), inspected.near_duplicates)
    computed = compute_audit(corpus, split=split, near_duplicates=copies)
    about_split = caution_split(corpus, split) if corpus.splits else ()
    durations, cautions = find_unusual_durations(corpus)
    if inspected is not None and inspected.notes:
        cautions += (
            f"recordings that are not as their headers say: {len(inspected.notes):,}; the first: {inspected.notes[0]}",
        )
    found, left_out = list_readable(store)
    selected = [member.name for member in found]
    learned = caution_leakage(store, selected, corpus.rows(split=split)) if corpus.splits else ()
    return StoreAudit(
        computed,
        bad_files,
        leak_effects=_measure_leak_effects(store, selected, split, copies or ()),
        unusual_durations=durations,
        cautions=(*about_split, *unseen, *cautions, *learned, *left_out),
    )


def _inspect(corpus: Corpus, audio: Path | None, progress: Progress) -> tuple["Inspection | None", tuple[str, ...]]:
    """Return what was found in the recordings; or None, and why they were not looked at where there are any."""
    folder = audio or (Path(corpus.audio_root) if corpus.audio_root else None)
    if audio is None and corpus.paths is None:
        return None, ()
    if folder is None or (audio is None and not folder.is_dir()):
        where = "the store does not say where they are" if folder is None else f"{folder} is not here"
        return None, (f"the recordings were not looked at: {where}; expected their folder as `audio`",)
    # The rest of the audit needs no audio.
    if audio is None and find_spec("soundfile") is None:
        return None, ("the recordings were not looked at: soundfile is not installed; the extra `train` brings it",)
    from ser_store.corpora.inspection import inspect_recordings

    return inspect_recordings(corpus, folder, progress=progress), ()


def _measure_leak_effects(
    store: Store, selected: Sequence[str], split: str | None, copies: Sequence[Sequence[int]]
) -> tuple[LeakEffect, ...]:
    corpus = store.corpus
    if not corpus.splits:
        return ()
    on = "test" if {"train", "test"} <= set(corpus.part_names(split)) else "all"
    rows = corpus.rows(on, split=split)
    leaks = flag_leaks(corpus, rows, split=split, copies=copies)
    informative = {kind: leaked for kind, leaked in leaks.items() if leaked.any() and not leaked.all()}
    effects = []
    for name in selected if informative else ():
        trained_on = store.run(parse_member(name)[0]).details.get("split")
        if trained_on not in (None, split or corpus.default_split):
            continue
        try:
            correct = store.predictions([name], rows)[0] == corpus.labels[rows]
        except StoreError as problem:
            if isinstance(problem, FormatError | IntegrityError):
                raise
            continue  # it predicts nothing, or not all of these utterances
        effects += [
            measure_leak_effect(name, kind, np.asarray(correct), leaked) for kind, leaked in informative.items()
        ]
    return tuple(effects)


def tabulate_audit(document: dict[str, Any]) -> Iterator[Block]:
    """Yield counts by class and part, what the parts share, and what that is worth; of an audit's JSON document."""
    parts = document["n"]
    yield f"split {document['split']}: " + ", ".join(f"{n} {part}" for part, n in parts.items())
    classes = {label: None for counts in document["classes"].values() for label in counts}
    yield Table(
        ["label", *parts], [[label, *(document["classes"][part].get(label, 0) for part in parts)] for label in classes]
    )
    rows: list[tuple[str, object]] = [
        ("speakers on more than one side", document["shared_speakers"]),
        ("twin groups on more than one side", document["twins_across"]),
        ("test utterances whose twin is in train", document["test_with_twin_in_train"]),
    ]
    if document.get("test_with_twin_in_train_share") is not None:
        rows.append(("  of all test utterances", Percent(document["test_with_twin_in_train_share"])))
    copies = document["duplicate_audio"]
    rows.append(("groups of recordings with the same samples", None if copies is None else len(copies)))
    rows.append(("  of which on more than one side", document["duplicate_audio_across"]))
    near = document["near_duplicates"]
    rows.append(("groups that are the same recording in another guise", "not looked at" if near is None else len(near)))
    if near is not None:
        rows.append(("  of which on more than one side", document["near_duplicates_across"]))
    bad = document["bad_files"]
    rows.append(("bad files", "not looked at" if bad is None else len(bad)))
    yield ""
    for text, value in rows:
        yield f"{text:<52} {'unknown' if value is None else value}"
    for one in document["unusual_durations"][:_TOLD]:
        yield f"  length out of line: {one['utterance']}, {one['seconds']:,.1f} s"
    for line in bad or []:
        yield f"  {line}"
    for group in near or []:
        yield f"  one recording in several guises: {', '.join(group)}"
    if document["leakage"]:
        yield "\nwhat the leaks are worth: accuracy on test utterances that training gave away, and on the others"
        yield from _tabulate_leakage(document["leakage"])


def _tabulate_leakage(effects: list[dict[str, Any]]) -> Iterator[Block]:
    rows = [
        [
            effect["member"],
            f"same {effect['kind']} in train",
            *(cell for side in ("leaked", "clean") for cell in (effect[side]["n"], Percent(effect[side]["accuracy"]))),
            f"{effect['difference'] * 100:+.1f} [{', '.join(f'{bound * 100:+.1f}' for bound in effect['ci95'])}]",
            effect["verdict"],
        ]
        for effect in effects
    ]
    yield Table(["member", "leak", "n", "leaked", "n", "clean", "points [95% interval]", "on leaked"], rows)
