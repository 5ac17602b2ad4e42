"""A new store from a corpus, or one more split for a store that is there."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Block, Result
from ser_store.corpora.building import Reading
from ser_store.corpora.label_map import read_label_map
from ser_store.corpora.sources import load_corpus
from ser_store.corpora.splits.cautions import caution_split
from ser_store.corpora.splits.draw import add_split, assign_split, describe_folds
from ser_store.corpora.splits.draw_names import name_repeats, name_split
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.store import Store

# Columns that are parts of a split, where they can be.
_SPLIT_COLUMNS = ("split", "fold")


@dataclass(frozen=True, repr=False)
class Initialized(Result):
    """What :func:`init` did.

    Attributes:
        store: the store.
        path: its folder, as it was named.
        split: the split that was added, by the name it has, and is the default one now.
        created: whether the store was made now, or gained a split.
        skipped: one line for each recording left out.
        ignored: files that are not part of the corpus.
        ignored_as: what these are.
        cautions: one line for each thing to beware of: in the split, and in what the store holds now that it held
            otherwise before.
        notes: one line for each recording that is not as its header says, for what else was seen and not read, and for
            what was understood and may not have been meant.
    """

    store: Store
    path: Path
    split: str | None
    created: bool
    skipped: tuple[str, ...]
    ignored: int
    notes: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    ignored_as: str = ""

    def count_parts(self) -> dict[str, int]:
        """Return how many utterances each part of the split has."""
        corpus = self.store.corpus
        return {part: len(corpus.rows(part, split=self.split)) for part in corpus.part_names(self.split)}

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore init`` prints."""
        corpus = self.store.corpus
        speakers = f", {len(corpus.known_speakers)} speakers" if corpus.known_speakers else ""
        yield f"{corpus.name}: {len(corpus)} utterances{speakers}, {len(corpus.classes)} classes"
        yield f"split {self.split}: " + ", ".join(f"{n} {part}" for part, n in self.count_parts().items())
        default = "" if self.created else f"; its default split is {corpus.default_split}"
        yield f"{'made' if self.created else 'updated'} {self.path}{default}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each part of the split: ``part`` and ``n``."""
        return [{"part": part, "n": n} for part, n in self.count_parts().items()]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore init --json``."""
        corpus = self.store.corpus
        return {
            "store": str(self.path),
            "created": self.created,
            "corpus": corpus.name,
            "n": len(corpus),
            "classes": list(corpus.classes),
            "split": self.split,
            "parts": self.count_parts(),
            "skipped": list(self.skipped),
            "cautions": list(self.cautions),
            "ignored": self.ignored,
            "notes": list(self.notes),
        }


def init(
    store: str | os.PathLike[str],
    *,
    corpus: str | os.PathLike[str],
    audio: str | os.PathLike[str] | None = None,
    no_audio: bool = False,
    labels: str | os.PathLike[str] | None = None,
    split: str | None = None,
    seed: int | None = None,
    folds: int | None = None,
    repeats: int | None = None,
    skip_bad: bool = False,
    strict: bool = False,
    progress: ProgressLike = False,
) -> Initialized:
    """Create a store for a corpus, or add a split to the store that is there and holds the same corpus.

    Args:
        store: the store's folder.
        corpus: the name of a published corpus (:func:`ser_store.list_corpora` lists them), a page that describes one
            (TOML), or a table with a row for each utterance (CSV, TSV, Parquet); ``docs/corpora.md`` explains both.
        audio: the folder of the recordings.
        no_audio: there are no recordings: the corpus is what the table says. They can be added later by the same call
            with ``audio`` instead.
        labels: a label map (TOML) that renames, merges or drops classes; see
            :func:`ser_store.corpora.label_map.read_label_map`.
        split: name of a split (see :data:`ser_store.corpora.splits.draw_names.SPLITS`) or of a column. Default: the
            corpus' own where one was published or the table has a column ``split``, else ``paper``; without audio, one
            in which all utterances are judged. Where the store is there, its default split stays.
        seed: of the split; one that is not the split's own is part of its name: ``paper-7``.
        folds: how many, of a split into folds; part of its name likewise: ``kfold-10-folds``.
        repeats: draw so many splits, by the seeds that follow: ``speaker``, ``speaker-1``, …; the first is the default.
        skip_bad: leave bad recordings out instead of refusing.
        strict: a recording that is not as its header says is a bad one.
        progress: show a bar over the recordings; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Raises:
        CorpusError: if the corpus contradicts itself or has too few utterances for the split.
        AudioError: naming the first bad recording.
        StoreError: if the store holds another corpus.

    >>> import ser_store as ss
    >>> recordings = ss.write_synthetic_corpus("recordings", speakers=3)  # named as those of RAVDESS
    >>> made = ss.init("my.store", corpus="ravdess", audio="recordings", split="speaker")
    >>> made.count_parts()
    {'train': 60, 'valid': 60, 'test': 60}
    """
    path = Path(store)
    reading = Reading(
        labels=None if labels is None else read_label_map(labels),
        skip_bad=skip_bad,
        strict=strict,
        progress=to_progress(progress),
    )
    recordings = None if audio is None else Path(audio)
    built = load_corpus(os.fspath(corpus), recordings, no_audio=no_audio, reading=reading)
    described, there = built.corpus, Store(path) if (path / "corpus.h5").is_file() else None
    cautions: list[str] = []
    notes = built.notes
    if there is not None:
        there.refuse_other_corpus(described)
        cautions += _describe_changes(there.corpus, described)
        described = _combine(there.corpus, described)
    if no_audio and split is None and described.default_split is None:
        described = judge_all(described)
    described, name, told, said = _choose_split(described, split, seed=seed, folds=folds, repeats=repeats)
    notes, cautions = (*notes, *told), [*cautions, *said]
    if there is None:
        made = Store.create(path, described)
    else:
        before = there.corpus.default_split
        if before not in (None, name):
            cautions.append(
                f"the default split is {name} now, it was {before}: questions that name no `split` answer about {name} "
                "from now on"
            )
        made = there
        made.update_corpus(described)
    return Initialized(
        store=made,
        path=path,
        split=name,
        created=there is None,
        skipped=built.skipped,
        ignored=built.ignored,
        ignored_as=built.ignored_as,
        cautions=(*cautions, *caution_split(described, name)),
        notes=notes,
    )


def _choose_split(
    corpus: Corpus, split: str | None, *, seed: int | None, folds: int | None, repeats: int | None
) -> tuple[Corpus, str, tuple[str, ...], tuple[str, ...]]:
    """The corpus with the split that is meant as its default, how it is called, what was understood, and cautions."""
    asked = split or corpus.default_split or "paper"
    if asked == corpus.default_split and (split, seed, folds, repeats) == (None, None, None, None):
        return corpus, asked, (), ()
    name = name_split(corpus, asked, seed=seed, folds=folds)
    for one in [name] if repeats is None else name_repeats(corpus, asked, repeats, seed=seed, folds=folds):
        corpus = add_split(corpus, one)
    corpus = replace(corpus, default_split=name)
    renamed = f"the split is called {name}, after its seed or number of folds: `split` {name} means it"
    notes = describe_folds(corpus.columns[name], corpus.parts(name)) if name in corpus.columns else ()
    return corpus, name, notes, (renamed,) if asked != name else ()


def judge_all(corpus: Corpus, judged: NDArray[np.bool_] | None = None) -> Corpus:
    """Return a corpus without audio with the default split ``imported``, all of which is ``test``.

    A column ``split`` or ``fold`` that can be the parts of a split becomes a split too.

    Args:
        judged: the utterances ``(n,)`` that are in it; default: all.
    """
    parts = np.full(len(corpus), "test")
    if "imported" not in corpus.splits:
        corpus = corpus.with_split("imported", parts if judged is None else np.where(judged, parts, ""))
    corpus = replace(corpus, default_split=corpus.default_split or "imported")
    for name in _SPLIT_COLUMNS:
        if name in corpus.columns:
            with suppress(CorpusError):  # one value only, or one for each utterance: it is a column like others
                corpus = add_split(corpus, name)
    return corpus


def _combine(there: Corpus, described: Corpus) -> Corpus:
    """The corpus as described now, with what the store has besides; the store's default split stays if it is of use."""
    corpus = replace(
        described,
        speakers=there.speakers if described.speakers is None else described.speakers,
        columns={**there.columns, **described.columns},
        splits=there.splits,
    )
    for name, parts in described.splits.items():
        corpus = assign_split(corpus, name, parts)
    # One part alone is what an import of predictions makes.
    stays = there.default_split is not None and len(there.part_names()) > 1
    return replace(corpus, default_split=there.default_split if stays else described.default_split)


def _describe_changes(there: Corpus, described: Corpus) -> list[str]:
    """A line for what the store said otherwise about the same utterances."""
    pairs: list[tuple[str, Any, Any]] = [("speakers", there.speakers, described.speakers)]
    pairs += [(f"column {name!r}", there.columns.get(name), values) for name, values in described.columns.items()]
    pairs += [("recordings", there.audio_digests, described.audio_digests)]
    told = []
    for what, old, new in pairs:
        if old is None or new is None:
            continue
        is_kept = (old == new) | ((old != old) & (new != new))  # NaN is not itself
        changed = np.flatnonzero(~is_kept.reshape(len(there), -1).all(axis=1))
        if len(changed):
            told.append(f"{what} (of {len(changed)}, the first {str(there.ids[changed[0]])!r})")
    return [f"what the store holds of the same utterances was changed: {', '.join(told)}"] if told else []
